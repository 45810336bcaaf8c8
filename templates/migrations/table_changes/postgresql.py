"""How PostgreSQL changes tables: by ALTER TABLE, in the migration's transaction."""

from collections.abc import Iterator
from typing import Any

from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import _alter_column, _repr_type
from alembic.operations.ops import (
    AddColumnOp,
    AlterColumnOp,
    CreateCheckConstraintOp,
    DropConstraintOp,
    MigrateOperation,
    ModifyTableOps,
)
from sqlalchemy import Connection, String
from sqlalchemy.dialects.postgresql import ENUM
from sqlalchemy.types import TypeEngine

from app.engine import DIALECT

BATCH = False
BYTES = r"'\x{}'"


def prepare(_: Connection) -> None:
    """Do nothing: no table will be copied."""


def update_statistics(_: Connection) -> None:
    """Do nothing: PostgreSQL does so by itself."""


def check_references(_: Connection) -> None:
    """Do nothing: PostgreSQL enforces them."""


def adapted(table: ModifyTableOps) -> Iterator[MigrateOperation]:
    """Yield the changes of a table, with a conversion for types that need an explicit one.

    Types of text need none. An explicit one would shorten longer values without an error.
    """
    table.ops = sorted(table.ops, key=_order)
    for change in table.ops:
        if isinstance(change, AddColumnOp):
            column_type = change.column.type
            if isinstance(column_type.dialect_impl(DIALECT), ENUM):
                yield CreateEnum(column_type)
        if (
            isinstance(change, AlterColumnOp)
            and (new := change.modify_type) is not None
            and change.existing_type is not None
            and new._type_affinity is not change.existing_type._type_affinity
            and not isinstance(new, String)
        ):
            name = DIALECT.identifier_preparer.quote(change.column_name)
            change.kw["postgresql_using"] = f"{name}::{new.compile(DIALECT)}"
            if change.existing_server_default is not None:  # PostgreSQL would not convert it
                yield AlterColumnOp(
                    table.table_name,
                    change.column_name,
                    existing_type=change.existing_type,
                    modify_server_default=None,
                )
                change.existing_server_default = False
    yield table


class CreateEnum(MigrateOperation):
    """Create the type of a new column, unless it exists. For a new table, Alembic does that."""

    ops = ()  # for `alembic check`: it lists no differences

    def __init__(self, enum: TypeEngine[Any]) -> None:
        self.enum = enum


@renderers.dispatch_for(CreateEnum)
def render_create_enum(autogen_context: AutogenContext, change: CreateEnum) -> str:
    return f"{_repr_type(change.enum, autogen_context)}.create(op.get_bind(), checkfirst=True)"


def _order(change: MigrateOperation) -> int:
    """CHECK constraints hold for one type only: drop them first, and add them last."""
    if isinstance(change, DropConstraintOp) and change.constraint_type == "check":
        return 0
    return 2 if isinstance(change, CreateCheckConstraintOp) else 1


@renderers.dispatch_for(AlterColumnOp, replace=True)
def render_alter_column(autogen_context: AutogenContext, change: AlterColumnOp) -> str:
    """Render what Alembic omits, the explicit conversion."""
    rendered = _alter_column(autogen_context, change)
    using = change.kw.get("postgresql_using")
    return f"{rendered[:-1]}, postgresql_using={using!r})" if using else rendered
