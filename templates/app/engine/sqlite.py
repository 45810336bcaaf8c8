"""How the service talks to SQLite: many readers, one writer, nothing acknowledged is lost."""

import asyncio
import math
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiosqlite

from sqlalchemy import (
    URL,
    Connection,
    DateTime,
    Dialect,
    Executable,
    QueuePool,
    event,
    false,
    literal,
    select,
)
from sqlalchemy.connectors.asyncio import AsyncAdapt_dbapi_connection
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeDecorator, TypeEngine
from sqlalchemy.util.concurrency import await_

from app.config import PROJECT, DatabaseSettings
from app.database_url import database_file

PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # what was committed survives a power cut
    "PRAGMA foreign_keys = ON",
)
CHECK_EVERY = 10_000  # SQLite's own instructions: several times in a millisecond
LOOK_EVERY = 0.005  # seconds
REOPEN_AFTER = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}
MIGRATION_TIMEOUT = 3_600  # seconds, those of waiting for another one too



class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, in UTC on both sides; SQLite knows no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, _: Dialect) -> datetime | None:
        return value and value.replace(tzinfo=UTC)


Fetch = Callable[..., Awaitable[Sequence[Any]]]
"""Runs a statement: `fetch(sql, arguments, reads=...)` returns its rows."""

TABLE_OPTIONS = {"sqlite_with_rowid": False}
DIALECT = SQLiteDialect_aiosqlite()
INTEGRITY_ERRORS = (sqlite3.IntegrityError, sqlite3.DataError)
UNAVAILABLE_ERRORS = (OSError, sqlite3.Error)


def type_code(_: TypeEngine[Any]) -> None:
    """SQLite's conversions depend on no type of the driver."""


class Engine:
    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._writer: aiosqlite.Connection | None = None
        self._lock = asyncio.Lock()

    async def _get(self) -> aiosqlite.Connection:
        if not self._writer:
            file = database_file(self._settings.database_url.get_secret_value(), PROJECT)
            self._writer = await aiosqlite.connect(file, isolation_level=None, timeout=2)
            self._writer.row_factory = sqlite3.Row
            for pragma in PRAGMAS:
                await self._writer.execute(pragma)
        return self._writer

    async def fetch(self, sql: str, arguments: Sequence[Any], *, reads: bool) -> Sequence[Any]:
        async with self._lock:
            return list(await (await self._get()).execute_fetchall(sql, arguments))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Fetch]:
        async with self._lock:
            writer = await self._get()
            await writer.execute("BEGIN IMMEDIATE")

            async def fetch(sql: str, arguments: Sequence[Any], *, reads: bool) -> Sequence[Any]:
                return list(await writer.execute_fetchall(sql, arguments))

            try:
                yield fetch
            except BaseException:
                await writer.execute("ROLLBACK")
                raise
            await writer.execute("COMMIT")

    async def close(self) -> None:
        if self._writer:
            await self._writer.close()
            self._writer = None


def for_transactions(engine: AsyncEngine) -> AsyncEngine:
    engine = engine.execution_options(isolation_level="SERIALIZABLE")

    # At once, not with the first write: two that have read by then would lock each other out.
    @event.listens_for(engine.sync_engine, "begin")
    def begin_immediately(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def for_migrations(settings: DatabaseSettings) -> AsyncEngine:
    """An engine whose transactions wait for each other, and take as long as they take."""
    return for_transactions(_create_engine(settings, MIGRATION_TIMEOUT))


def missing_privileges(_: Iterable[str]) -> Executable:
    """Return a statement that selects nothing: SQLite has no roles."""
    return select(literal("missing").label("missing")).where(false())


def _create_engine(settings: DatabaseSettings, timeout: float) -> AsyncEngine:
    """`timeout` is in seconds, for a lock and for a statement."""
    file = database_file(settings.database_url.get_secret_value(), PROJECT)
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(file)),
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        hide_parameters=True,
        pool_size=settings.database_pool_size,
        max_overflow=0,
        pool_timeout=settings.database_pool_timeout_seconds,
        connect_args={"timeout": timeout},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: AsyncAdapt_dbapi_connection, entry: ConnectionPoolEntry) -> None:
        def is_late() -> bool:
            deadline: float = entry.info.get("deadline", math.inf)
            return time.monotonic() > deadline

        for pragma in PRAGMAS:
            connection.execute(pragma)
        connection.run_async(lambda driver: driver.set_progress_handler(is_late, CHECK_EVERY))

    @event.listens_for(engine.sync_engine, "before_cursor_execute", named=True)
    def set_deadline(conn: Connection, **_: object) -> None:
        conn.info["deadline"] = time.monotonic() + timeout

    return engine
