"""How the service talks to SQLite: one connection writes, while the others read.

Each connection has a thread of its own, which runs statements in the order in which they arrive.
"""

import asyncio
import math
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from threading import Thread, current_thread
from typing import TYPE_CHECKING, Any, Protocol, cast

import aiosqlite
from sqlalchemy import (
    URL,
    Connection,
    DateTime,
    Dialect,
    Executable,
    event,
    false,
    literal,
    select,
)
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.config import PROJECT, DatabaseSettings
from app.database_url import database_file

if TYPE_CHECKING:
    from sqlalchemy.connectors.asyncio import AsyncAdapt_dbapi_connection
    from sqlalchemy.ext.asyncio import AsyncEngine

PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # what was committed survives a power cut
    "PRAGMA foreign_keys = ON",
)
CHECK_EVERY = 10_000  # SQLite's own instructions: several times in a millisecond
LOCK_RETRY = 0.002  # seconds
STUCK_AFTER = 0.01  # seconds
MAX_WAITING = 1_000  # statements in one queue
REOPEN_AFTER = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}
BUSY = "the connection was busy for too long"
LATE = "the transaction took too long"
FULL = "too many statements wait for a connection"
MIGRATION_TIMEOUT = 3_600  # seconds of waiting for another migration

# sqlite3 raises an OverflowError for an integer that takes more than 64 bits.
INTEGRITY_ERRORS = (sqlite3.IntegrityError, sqlite3.DataError, OverflowError)
UNAVAILABLE_ERRORS = (OSError, sqlite3.Error)

DIALECT: Dialect = SQLiteDialect_pysqlite(paramstyle="qmark")


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, in UTC on both sides; SQLite knows no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _: Dialect) -> datetime | None:
        if value and not value.tzinfo:
            raise ValueError("a point in time needs a time zone")
        return value and value.astimezone(UTC)

    def result_processor(self, *_: Any) -> Callable[[str | None], datetime | None]:
        # SQLAlchemy's own takes ten times as long, and a page of a list has 42 of them.
        return lambda text: datetime.fromisoformat(f"{text}+00:00") if text else None


def type_code(_: TypeEngine[Any]) -> int:
    """Return any number: the conversions of SQLite's types do not depend on it."""
    return 0


class Fetch(Protocol):
    """Runs a statement and returns its rows. `reads`: it is a SELECT that changes nothing."""

    async def __call__(
        self, sql: str, arguments: Sequence[Any], *, reads: bool
    ) -> Sequence[sqlite3.Row]: ...


class _Call(list[Any]):
    """The arguments of a statement on their way to a connection's thread."""

    start_by = math.inf
    is_canceled = False


class _Connection(sqlite3.Connection):
    """A connection within its thread. Each statement has a deadline, waiting for locks included."""

    def __init__(self, file: str, *, timeout: float, threads: list[Thread], **options: Any) -> None:
        threads.append(current_thread())
        # SQLite's own way to wait for a lock cannot be canceled: a write could run long after.
        super().__init__(file, timeout=0, **options)
        self.row_factory = sqlite3.Row
        self._timeout = timeout
        self.set_progress_handler(self._is_over, CHECK_EVERY)
        try:
            for pragma in PRAGMAS:
                self.execute(pragma, _Call())
        except sqlite3.Error:
            self.close()
            raise

    def execute(self, sql: str, call: Any) -> sqlite3.Cursor:  # type: ignore[override]
        now = time.monotonic()
        if call.is_canceled or now > call.start_by:
            raise TimeoutError(BUSY)
        self._call, self._deadline = call, now + self._timeout
        while True:
            try:
                return super().execute(sql, call)
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or self._is_over():
                    raise
            time.sleep(LOCK_RETRY)

    def _is_over(self) -> bool:
        return self._call.is_canceled or time.monotonic() > self._deadline


class _Reader:
    """A connection that several requests read by at once."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self.connection = connection
        self.load = 0  # statements in its queue, the running one included
        self.moved_at = 0.0  # when the last one began or ended


class Engine:
    """Runs statements: reads by several connections, and one write or transaction at a time."""

    def __init__(self, settings: DatabaseSettings) -> None:
        """Nothing is connected yet."""
        self._file = database_file(settings.database_url.get_secret_value(), PROJECT)
        self._size = max(2, settings.database_pool_size)
        self._max_wait = settings.database_pool_timeout_seconds
        self._timeout = settings.database_statement_timeout_seconds
        self._connections: list[aiosqlite.Connection] = []  # the first one writes
        self._readers: list[_Reader] = []
        self._threads: list[Thread] = []
        self._turn = asyncio.Lock()  # of those who write, or find the connections to be closed
        self._waiting = 0
        self._opening = asyncio.Lock()
        self._must_open = True

    async def fetch(
        self, sql: str, arguments: Sequence[Any], *, reads: bool
    ) -> Sequence[sqlite3.Row]:
        """Run one statement in a transaction of its own, which is durable by then."""
        if not reads:
            async with self._writing() as writer:
                return await self._run(writer, _Call(arguments), sql)
        if self._must_open:
            await self._take_turn()
            self._turn.release()
        call, now = _Call(arguments), time.monotonic()
        call.start_by = now + self._max_wait
        reader = self._least_busy(now)
        reader.load += 1
        try:
            return await self._run(reader.connection, call, sql)
        finally:
            reader.load -= 1
            reader.moved_at = time.monotonic()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Fetch]:
        """Yield what runs statements in one transaction, which is durable when the block ends.

        Any exception rolls it back, and so does cancellation. The whole block has as much time as
        a single statement.
        """
        async with self._writing() as writer:
            turn, has_ended = asyncio.Lock(), False
            failure: Exception | None = None

            async def fetch(
                sql: str,
                arguments: Sequence[Any],
                *,
                reads: bool,  # noqa: ARG001 - it sees what the transaction has written
            ) -> Sequence[sqlite3.Row]:
                nonlocal failure
                async with turn:
                    if has_ended:
                        raise RuntimeError("this transaction has ended")
                    try:
                        return await self._run(writer, _Call(arguments), sql)
                    except asyncio.CancelledError:
                        failure = TimeoutError("a statement of the transaction was canceled")
                        raise
                    except Exception as error:
                        failure = error
                        raise

            limit = asyncio.timeout(self._timeout)
            try:
                async with limit:
                    # At once, not with the first write: two that have read by then would lock each
                    # other out.
                    await self._run(writer, _Call(), "BEGIN IMMEDIATE")
                    yield fetch
                    async with turn:
                        has_ended = True
            except TimeoutError:
                if limit.expired():
                    raise TimeoutError(LATE) from None
                raise
            finally:
                has_ended = True
            if failure:
                raise failure  # even if the block caught it
            await asyncio.shield(self._run(writer, _Call(), "COMMIT"))

    async def close(self) -> None:
        """Close all connections, after what they are running."""
        async with self._turn, self._opening:
            await asyncio.shield(self._close())

    def _least_busy(self, now: float) -> _Reader:
        """Return the reader with the shortest queue; those where a slow statement runs are last."""

        def rank(reader: _Reader) -> tuple[bool, int]:
            return reader.load > 0 and now - reader.moved_at > STUCK_AFTER, reader.load

        reader = min(self._readers, key=rank)
        if reader.load >= MAX_WAITING:
            raise TimeoutError(FULL)
        if not reader.load:
            reader.moved_at = now
        return reader

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[aiosqlite.Connection]:
        """Lend the writer. It is taken back when nothing runs there, without a transaction."""
        await self._take_turn()
        [writer, *_] = self._connections
        is_clean = False
        try:
            yield writer
            is_clean = not writer.in_transaction
        finally:
            if is_clean:
                self._turn.release()
            else:
                await asyncio.shield(self._clean(writer))

    async def _clean(self, writer: aiosqlite.Connection) -> None:
        try:
            await writer.rollback()  # after what runs in its thread
        finally:
            self._must_open |= writer.in_transaction
            self._turn.release()

    async def _take_turn(self) -> None:
        """Wait until nobody else writes, and the connections are open."""
        if not (self._waiting or self._turn.locked() or self._must_open):
            await self._turn.acquire()  # at once, because nobody has it
            return
        if self._waiting >= MAX_WAITING:
            raise TimeoutError(FULL)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._max_wait):
                await self._turn.acquire()
                try:
                    if self._must_open:
                        await asyncio.shield(self._reopen())
                except BaseException:
                    self._turn.release()
                    raise
        except TimeoutError:
            raise TimeoutError(BUSY) from None
        finally:
            self._waiting -= 1

    async def _run(
        self, connection: aiosqlite.Connection, call: _Call, sql: str
    ) -> Sequence[sqlite3.Row]:
        try:
            return cast(list[sqlite3.Row], await connection.execute_fetchall(sql, call))
        except BaseException as error:
            call.is_canceled = True
            self._must_open |= _code(error) in REOPEN_AFTER
            raise

    async def _reopen(self) -> None:
        """Close all connections, then open new ones.

        That a file was read-only when it was opened holds for all connections of the process, new
        ones too, until the last of them is closed.
        """
        async with self._opening:
            if not self._must_open:
                return  # a canceled request had begun this
            await self._close()
            # Threads are daemons if the thread that makes them is one. A process that is forced to
            # exit would wait forever for others.
            maker = Thread(target=self._make_connections, daemon=True)
            maker.start()
            maker.join()
            for connection in self._connections:
                await connection
            self._readers = [_Reader(connection) for connection in self._connections[1:]]
            self._must_open = False

    def _make_connections(self) -> None:
        self._connections = [
            aiosqlite.connect(
                self._file,
                factory=_Connection,
                isolation_level=None,
                timeout=self._timeout,
                threads=self._threads,
            )
            for _ in range(self._size)
        ]

    async def _close(self) -> None:
        self._must_open, self._readers = True, []
        while self._connections:
            await self._connections.pop().close()
        while self._threads:  # those that failed to open, too
            self._threads.pop().join()


def _code(error: BaseException) -> int:
    """Return SQLite's primary result code for an error, or 0."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def for_migrations(settings: DatabaseSettings) -> "AsyncEngine":
    """Return SQLAlchemy's engine. Its transactions wait for each other, without a deadline."""
    # Imported here, because it takes as long as a third of the service's other imports.
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
