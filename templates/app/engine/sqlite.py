"""How the service talks to SQLite: many readers, one writer, nothing acknowledged is lost."""

import asyncio
import math
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import cast

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
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeDecorator
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

Opener = Callable[[], AbstractContextManager[Connection]]


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, in UTC on both sides; SQLite knows no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, _: Dialect) -> datetime | None:
        return value and value.replace(tzinfo=UTC)


def create_engine(settings: DatabaseSettings) -> AsyncEngine:
    """An engine for single statements; in AUTOCOMMIT each is a transaction of its own."""
    return _create_engine(settings, settings.database_statement_timeout_seconds)


def opener(engine: AsyncEngine, settings: DatabaseSettings) -> Opener:
    """What opens a connection for one statement, which is committed by itself.

    That a file was read-only when it was opened holds for all connections of the process, new ones
    too, until the last of them is closed. So after one could not write, whoever comes next waits
    until none is in use, and all are closed.
    """
    sync = engine.sync_engine
    turn = asyncio.Lock()
    is_due = False

    @event.listens_for(sync, "handle_error")
    def notice(error: ExceptionContext) -> None:
        nonlocal is_due
        if getattr(error.original_exception, "sqlite_errorcode", 0) & 0xFF in REOPEN_AFTER:
            is_due = True

    async def close_all() -> None:
        nonlocal is_due
        async with asyncio.timeout(settings.database_pool_timeout_seconds), turn:
            if not is_due:
                return  # somebody else has closed them meanwhile
            # The pool tells nobody when it has taken one back.
            while cast(QueuePool, sync.pool).checkedout():  # noqa: ASYNC110
                await asyncio.sleep(LOOK_EVERY)
            await engine.dispose()
            is_due = False

    def connect() -> Connection:
        if is_due:
            await_(close_all())
        return sync.connect()

    return connect


def for_transactions(engine: AsyncEngine) -> AsyncEngine:
    """The same connections, for several statements in one transaction."""
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
