"""Runs statements on SQLite: several readers, one writer, durable commits."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    DateTime,
    Dialect,
    Executable,
    Text,
    and_,
    cast,
    event,
    false,
    literal,
    select,
)
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.config import PROJECT, DatabaseSettings
from app.connections import BUSY, FULL, MAX_WAITING, PRAGMAS, Call, Connections
from app.database_url import database_file

if TYPE_CHECKING:
    from sqlalchemy.connectors.asyncio import AsyncAdapt_dbapi_connection
    from sqlalchemy.ext.asyncio import AsyncEngine

MIGRATION_TIMEOUT = 3_600  # seconds of waiting for another migration

# sqlite3 raises an OverflowError for an integer that takes more than 64 bits.
INTEGRITY_ERRORS = (sqlite3.IntegrityError, sqlite3.DataError, OverflowError)
UNAVAILABLE_ERRORS = (OSError, sqlite3.Error)

TABLE_OPTIONS: dict[str, Any] = {"sqlite_with_rowid": False}
DIALECT: Dialect = SQLiteDialect_pysqlite(paramstyle="qmark")


def is_missing_reference(error: Exception) -> bool:
    """Return whether a foreign key was violated: by a missing row, or by deleting one in use.

    A deletion that would cascade through a chain of more than 1,000 rows of one table counts, too.
    """
    is_violated = isinstance(error, sqlite3.IntegrityError) and "FOREIGN KEY" in str(error)
    return is_violated or (
        isinstance(error, sqlite3.OperationalError) and "trigger recursion" in str(error)
    )


def is_duplicate(error: Exception) -> bool:
    """Return whether a unique key was violated."""
    return isinstance(error, sqlite3.IntegrityError) and "UNIQUE" in str(error)


def begins_with(column: ColumnElement[str], prefix: ColumnElement[str]) -> ColumnElement[bool]:
    """Return an exact, case-sensitive condition. LIKE would ignore the case of letters."""
    # A range, so that an index serves it. No UTF-8 text has the byte FF, which sorts last.
    end = prefix.op("||")(cast(literal(b"\xff"), Text))
    return and_(column >= prefix, column < end)


def prefix_index_options(_: str) -> dict[str, Any]:
    """Return the options of an index that serves `begins_with`: none."""
    return {}


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, in UTC on both sides; SQLite knows no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 - the name that SQLAlchemy gives it
    ) -> datetime | None:
        if value and not value.tzinfo:
            raise ValueError("a point in time needs a time zone")
        return value and value.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:  # noqa: ARG002 - as above
        """Return a function that converts a stored timestamp."""
        # SQLAlchemy's conversion takes ten times as long, and a page has 42 of these values.
        return lambda text: datetime.fromisoformat(f"{text}+00:00") if text else None


def type_code(_: TypeEngine[Any]) -> int:
    """Return any number: conversions for SQLite do not depend on it."""
    return 0


class Fetch(Protocol):
    """Runs a statement and returns its rows. `reads` means a SELECT, which changes nothing."""

    async def __call__(
        self, sql: str, arguments: Sequence[Any], *, reads: bool
    ) -> Sequence[sqlite3.Row]: ...


class Engine:
    """Runs statements: several reads at once, and one write or transaction at a time."""

    def __init__(self, settings: DatabaseSettings) -> None:
        """Create the object without connecting."""
        self._max_wait = settings.database_pool_timeout_seconds
        self._timeout = settings.database_statement_timeout_seconds
        file = database_file(settings.database_url.get_secret_value(), PROJECT)
        self._connections = Connections(
            file, settings.database_pool_size, self._max_wait, self._timeout
        )
        self._turn = asyncio.Lock()  # held by a transaction, or while connections are opened
        self._waiting = 0

    async def fetch(
        self, sql: str, arguments: Sequence[Any], *, reads: bool
    ) -> Sequence[sqlite3.Row]:
        """Run one statement in its own transaction. When this returns, its changes are durable."""
        if self._connections.must_open or (self._turn.locked() and not reads):
            await self._take_turn()
            self._turn.release()
        # No await until the statement is queued, so no transaction and no reopening can intervene.
        if reads:
            return await self._connections.read(sql, Call(arguments))
        return await self._connections.write(sql, Call(arguments))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Fetch]:
        """Yield a function that runs statements in a transaction, committed when the block ends.

        Any exception rolls it back, and so does cancellation. The whole block has as much time as
        a single statement.
        """
        async with self._writing():
            limit = asyncio.timeout(self._timeout)
            try:
                async with limit:
                    # Take the write lock now: of two transactions that read first, only one could
                    # write.
                    await self._fetch("BEGIN IMMEDIATE", (), reads=False)
                    yield self._fetch
                if limit.expired():
                    raise TimeoutError  # the block may have caught the cancellation
            except TimeoutError:
                if limit.expired():
                    raise TimeoutError("the transaction took too long") from None
                raise
            await self._fetch("COMMIT", (), reads=False)

    async def close(self) -> None:
        """Close all connections, after the statements in their queues."""
        async with self._turn:
            await self._connections.close()

    async def _fetch(
        self,
        sql: str,
        arguments: Sequence[Any],
        *,
        reads: bool,  # noqa: ARG002 - reads must see the transaction's writes
    ) -> Sequence[sqlite3.Row]:
        return await self._connections.write(sql, Call(arguments, in_transaction=True))

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[None]:
        """Keep other writes out, except for those that are already queued.

        When the block has ended, no transaction is open.
        """
        await self._take_turn()
        writer = self._connections.writer
        is_clean = False
        try:
            yield
            is_clean = not writer.in_transaction
        finally:
            try:
                # The thread rolls back after a canceled statement and before the next one, even if
                # this is canceled while it waits.
                if not is_clean:
                    await writer.rollback()
            finally:
                self._turn.release()

    async def _take_turn(self) -> None:
        """Wait until no transaction is under way, and the connections are open."""
        if not (self._waiting or self._turn.locked() or self._connections.must_open):
            await self._turn.acquire()  # returns at once, because the lock is free
            return
        if self._waiting >= MAX_WAITING:
            raise TimeoutError(FULL)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._max_wait):
                await self._turn.acquire()
                try:
                    if self._connections.must_open:
                        await self._connections.open()
                except BaseException:
                    self._turn.release()
                    raise
        except TimeoutError:
            raise TimeoutError(BUSY) from None
        finally:
            self._waiting -= 1


def for_migrations(settings: DatabaseSettings) -> "AsyncEngine":
    """Return a SQLAlchemy engine. Its transactions wait for each other without a deadline."""
    # Imported here, because only migrations and tests need it.
    from sqlalchemy.ext.asyncio import create_async_engine

    file = database_file(settings.database_url.get_secret_value(), PROJECT)
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(file)),
        hide_parameters=True,
        connect_args={"timeout": MIGRATION_TIMEOUT, "isolation_level": None},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: "AsyncAdapt_dbapi_connection", _: object) -> None:
        for pragma in PRAGMAS:
            connection.execute(pragma)

    @event.listens_for(engine.sync_engine, "begin")
    def begin_immediately(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def missing_privileges(_: Iterable[str]) -> Executable:
    """Return a statement that selects nothing: SQLite has no roles."""
    return select(literal("missing").label("missing")).where(false())
