"""The base classes of all tables, and of tables whose rows belong to users."""

from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, MetaData, String, Table, bindparam
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import ColumnCollectionConstraint, SchemaItem
from uuid_utils.compat import uuid7

from app.engine import TABLE_OPTIONS, UtcDateTime, prefix_index_options

OWNER = bindparam("owner_", type_=String)
"""The owner of the rows of a statement. `Database` takes its value from a `User` only."""


def now() -> datetime:
    return datetime.now(UTC)


def _columns(constraint: ColumnCollectionConstraint | Index, _: Table) -> str:
    """Return the columns, as a part of the name of a constraint or index."""
    return "__".join(column.name for column in constraint.columns)


class Base(DeclarativeBase):
    # Migrations can change a constraint on every database only if it has a name. Two underscores
    # prevent collisions, such as that of the columns `a_b` and `c` with `a` and `b_c`.
    metadata = MetaData(
        naming_convention={
            "columns": _columns,
            "ix": "ix_%(table_name)s__%(columns)s",
            "uq": "uq_%(table_name)s__%(columns)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s__%(columns)s",
            "pk": "pk_%(table_name)s",
        }
    )


class OwnedBase(Base):
    """A table whose rows belong to users.

    The primary key begins with the owner. So one index serves ownership checks, reads, and lists
    ordered newest first (the id is a UUIDv7), at the same cost for ten rows and ten million. A
    distributed PostgreSQL shards by its first column.
    """

    __abstract__ = True

    # `sort_order` puts a table's own columns between these, in responses too.
    owner_id: Mapped[str] = mapped_column(String(255), primary_key=True, sort_order=-2)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7, sort_order=-1)
    version: Mapped[int] = mapped_column(default=1, sort_order=1)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, sort_order=1)
    updated_at: Mapped[datetime] = mapped_column(
        UtcDateTime, default=now, onupdate=now, sort_order=1
    )

    def __init_subclass__(cls, **options: Any) -> None:
        """Raise TypeError if a field has the name of a column that every owned table has."""
        for name in OwnedBase.__annotations__.keys() & {*cls.__annotations__, *vars(cls)}:
            raise TypeError(f"{cls.__name__}.{name}: every owned table has this column. Rename it")
        super().__init_subclass__(**options)

    @classmethod
    def __table_cls__(
        cls, name: str, metadata: MetaData, *items: SchemaItem, **options: Any
    ) -> Table[Any]:
        """Return the table, with TABLE_OPTIONS even if the model has a `__table_args__`."""
        return Table(name, metadata, *items, **(options | TABLE_OPTIONS))


def owned_index(column: str, *, for_prefixes: bool = False) -> Index:
    """Return an index for lists filtered by a column. Rows with equal values are in page order.

    With `for_prefixes`, it serves `begins_with`.
    """
    options = prefix_index_options(column) if for_prefixes else {}
    return Index(None, "owner_id", column, "id", **options)


def owned_reference(
    column: str, table: str, *, ondelete: Literal["CASCADE"] | None = None
) -> ForeignKeyConstraint:
    """Return a foreign key to rows of the same owner, in another table or in the same one.

    A row to which others refer cannot be deleted. With `ondelete="CASCADE"`, deleting the row
    also deletes the rows that refer to it.
    """
    return ForeignKeyConstraint(
        ["owner_id", column], [f"{table}.owner_id", f"{table}.id"], ondelete=ondelete
    )
