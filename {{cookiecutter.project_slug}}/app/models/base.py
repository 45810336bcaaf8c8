"""The base classes of all tables, and of tables whose rows belong to users."""

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import MetaData, String, bindparam
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from uuid_utils.compat import uuid7

from app.engine import TABLE_OPTIONS, UtcDateTime

OWNER = bindparam("owner_", type_=String)
"""The owner of the rows of a statement. `Database` takes its value from a `User` only."""


def now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    # Named constraints, so that a migration can change them on every database.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class OwnedBase(Base):
    """A table whose rows belong to users.

    The primary key leads with the owner: one index serves reading, listing newest first (the id
    is a UUIDv7) and ownership, at the same cost for ten rows and ten million. It is also what a
    distributed PostgreSQL shards by.
    """

    __abstract__ = True
    __table_args__ = TABLE_OPTIONS

    # `sort_order` puts a table's own columns between these, in responses too.
    owner_id: Mapped[str] = mapped_column(String(255), primary_key=True, sort_order=-2)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7, sort_order=-1)
    version: Mapped[int] = mapped_column(default=1, sort_order=1)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, sort_order=1)
    updated_at: Mapped[datetime] = mapped_column(
        UtcDateTime, default=now, onupdate=now, sort_order=1
    )
