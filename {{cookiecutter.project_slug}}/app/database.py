"""The base of all tables, and the two ways to run a statement."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from opentelemetry import trace
from sqlalchemy import Executable, MetaData, String, false, select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.util.concurrency import greenlet_spawn
from uuid_utils.compat import uuid7

from app.config import DatabaseSettings
from app.engine import (
    UtcDateTime,
    create_engine,
    for_transactions,
    missing_privileges,
    opener,
)
from app.errors import Unavailable
from app.tracing import trace_statements

CLOSE_TIMEOUT = 2  # seconds

Record = dict[str, Any]
"""A row: its values by the names of the columns."""


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
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy wants a plain dict

    # A table's own columns stand between these, in answers too.
    owner_id: Mapped[str] = mapped_column(String(255), primary_key=True, sort_order=-2)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7, sort_order=-1)
    version: Mapped[int] = mapped_column(default=1, sort_order=1)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, sort_order=1)
    updated_at: Mapped[datetime] = mapped_column(
        UtcDateTime, default=now, onupdate=now, sort_order=1
    )


class Database:
    """Runs statements. Raises Unavailable when the database is away, locked, full or too slow."""

    def __init__(self, settings: DatabaseSettings) -> None:
        """Nothing is connected yet."""
        self._engine = create_engine(settings)
        self._open = opener(self._engine, settings)
        self._transactions = for_transactions(self._engine)

    async def run(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> list[Record]:
        """Run one statement and return its rows; what it changed is durable by then.

        In AUTOCOMMIT a statement is its own transaction: as atomic as one with BEGIN and COMMIT
        around it, without the round trips.
        """
        with faults():
            # One greenlet for all three steps: AsyncConnection would take one for each.
            return await greenlet_spawn(self._run, statement, parameters)

    def _run(self, statement: Executable, parameters: Mapping[str, Any] | None) -> list[Record]:
        with self._open() as connection:
            result = connection.execute(statement, parameters)
            if not result.returns_rows:
                return []
            names = tuple(result.keys())
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """For several statements, all or none: durable when the block has ended."""
        with faults():
            async with self._transactions.begin() as connection:
                yield connection

    def trace(self) -> None:
        """Give each statement a span, if OpenTelemetry is on."""
        if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            trace_statements(self._engine.sync_engine)

    async def ping(self) -> None:
        """Raise Unavailable unless the database responds and has all columns and privileges."""
        if missing := await self.run(missing_privileges(Base.metadata.tables)):
            privileges = ", ".join(str(row["missing"]) for row in missing)
            raise Unavailable(f"database: the role lacks {privileges}")
        for table in Base.metadata.sorted_tables:
            await self.run(select(table).where(false()))

    async def close(self) -> None:
        """Close what can be closed soon: a server that hangs must not hold up the end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._engine.dispose()


@contextmanager
def faults() -> Iterator[None]:
    """Raises Unavailable for what a driver or the pool raises when the database cannot serve."""
    try:
        yield
    except (IntegrityError, DataError):
        raise  # a mistake of ours: waiting will not mend it
    except (OSError, PoolTimeout, DBAPIError) as error:
        # asyncpg lets refused and timed-out connections through as OSError. A missing table is
        # ProgrammingError to one database and OperationalError to the other; migrating mends it.
        cause = error.orig if isinstance(error, DBAPIError) else error
        # If the role may not connect, PostgreSQL names the missing privilege only in `detail`.
        said = (f"{type(cause).__name__}: {cause}", getattr(cause, "detail", None) or "")
        reason = " ".join(text.partition("\n")[0] for text in said).strip()
        raise Unavailable(f"database: {reason}") from error
