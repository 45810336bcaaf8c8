"""Changes of tables on PostgreSQL: ALTER TABLE, in the migration's transaction.

With the extension Citus, new tables are distributed by their owner. See docs/scaling.md.
"""

from collections.abc import Iterator
from typing import Any

from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import _alter_column, _repr_type
from alembic.ddl.postgresql import PostgresqlImpl
from alembic.operations.ops import (
    AddColumnOp,
    AlterColumnOp,
    CreateCheckConstraintOp,
    DropConstraintOp,
    MigrateOperation,
    ModifyTableOps,
)
from sqlalchemy import Connection, String, Table
from sqlalchemy.dialects.postgresql import ENUM
from sqlalchemy.types import TypeEngine

from app.engine import DIALECT, ONE_CONNECTION_PER_WORKER

BATCH = False
BYTES = r"'\x{}'"
# The database checks for Citus, so that a script of `--sql` runs on any PostgreSQL.
DISTRIBUTE = """DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') THEN
        PERFORM create_distributed_table({}, 'owner_id');
    END IF;
END $$"""


class DistributingImpl(PostgresqlImpl):
    """Distributes new tables whose primary key contains the owner, if Citus is installed."""

    __dialect__ = "postgresql"  # replaces Alembic's own class

    def create_table(self, table: Table[Any], **options: Any) -> None:
        super().create_table(table, **options)
        if "owner_id" in table.primary_key.columns:
            name = self.dialect.identifier_preparer.format_table(table).replace("'", "''")
            self._exec(DISTRIBUTE.format(f"'{name}'"))

    def emit_begin(self) -> None:
        """Begin the transaction of a script with the same setting as the engine."""
        super().emit_begin()
        self.static_output(f"SELECT {ONE_CONNECTION_PER_WORKER};")


def prepare(_: Connection) -> None:
    """Do nothing: tables are not copied."""


def update_statistics(_: Connection) -> None:
    """Do nothing: autovacuum does this."""


def check_references(_: Connection) -> None:
    """Do nothing: PostgreSQL checks each statement."""


def adapt(table: ModifyTableOps) -> Iterator[MigrateOperation]:
    """Yield the changes of a table, with an explicit conversion if the type of a column changes.

    Changes to text need none. An explicit one would truncate long values without an error.
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
            if change.existing_server_default is not None:  # PostgreSQL does not convert it
                yield AlterColumnOp(
                    table.table_name,
                    change.column_name,
                    existing_type=change.existing_type,
                    modify_server_default=None,
                )
                change.existing_server_default = False
    yield table


class CreateEnum(MigrateOperation):
    """Create the enum type of a new column, unless it exists. For new tables, Alembic does so."""

    ops = ()  # so that `alembic check` does not count it as a difference

    def __init__(self, enum: TypeEngine[Any]) -> None:
        self.enum = enum


@renderers.dispatch_for(CreateEnum)
def render_create_enum(autogen_context: AutogenContext, change: CreateEnum) -> str:
    return f"{_repr_type(change.enum, autogen_context)}.create(op.get_bind(), checkfirst=True)"


def _order(change: MigrateOperation) -> int:
    """Drop CHECK constraints first and add them last: they may not fit the other type."""
    if isinstance(change, DropConstraintOp) and change.constraint_type == "check":
        return 0
    return 2 if isinstance(change, CreateCheckConstraintOp) else 1


@renderers.dispatch_for(AlterColumnOp, replace=True)
def render_alter_column(autogen_context: AutogenContext, change: AlterColumnOp) -> str:
    """Render the explicit conversion, too, which Alembic omits."""
    rendered = _alter_column(autogen_context, change)
    using = change.kw.get("postgresql_using")
    return f"{rendered[:-1]}, postgresql_using={using!r})" if using else rendered
