"""The connections of this process to its SQLite file: one for writing, the others for reading.

Each has its own thread, which runs statements in the order in which they arrive.
"""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path
from threading import Lock, Thread, current_thread
from typing import Any, cast

import aiosqlite

PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # commits survive a power failure
    "PRAGMA foreign_keys = ON",
)
CHECK_EVERY = 10_000  # SQLite's virtual instructions: several times per millisecond
LOCK_RETRY = 0.002  # seconds
STUCK_AFTER = 0.02  # seconds
MAX_WAITING = 1_000  # statements in one queue
BUSY = "the connection was busy for too long"
FULL = "too many statements are waiting for a connection"
REOPEN_AFTER = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_READONLY,
}


class Call(list[Any]):
    """The arguments of a statement, as they are passed to a connection's thread."""

    def __init__(self, arguments: Sequence[Any], *, in_transaction: bool = False) -> None:
        super().__init__(arguments)
        self.in_transaction = in_transaction
        self.is_canceled = False
        self._claim = Lock()

    def claim(self) -> bool:
        """Return True only once: to the thread that runs it, or to the caller that gives up."""
        return self._claim.acquire(blocking=False)


class _Connection(sqlite3.Connection):
    """A connection in its own thread. Each statement has a deadline, which includes lock waits."""

    def __init__(self, file: str, *, timeout: float, threads: list[Thread], **options: Any) -> None:
        threads.append(current_thread())
        # No timeout for locks in SQLite: a canceled write would keep waiting, and run later.
        super().__init__(file, timeout=0, **options)
        self.row_factory = sqlite3.Row
        self._call, self._deadline = Call(()), 0.0  # of the running statement
        self._timeout = timeout
        self.set_progress_handler(self._is_over, CHECK_EVERY)
        try:
            for pragma in PRAGMAS:
                self.execute(pragma, Call(()))
        except sqlite3.Error:
            self.close()
            raise

    # aiosqlite always passes a Call. The default only matches the signature of the base class.
    def execute(self, sql: str, call: Any = (), /) -> sqlite3.Cursor:
        if not call.claim():
            raise TimeoutError(BUSY)
        self._call, self._deadline = call, time.monotonic() + self._timeout
        while True:
            try:
                cursor = super().execute(sql, call)
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY:
                    raise
                time.sleep(LOCK_RETRY)
                if self._is_over():
                    raise
            else:
                if self.in_transaction and not call.in_transaction:
                    self.rollback()  # the statement was a BEGIN
                return cursor

    def _is_over(self) -> bool:
        return self._call.is_canceled or time.monotonic() > self._deadline


class _Queue:
    """A connection, and the statements that are queued for its thread."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self.connection = connection
        self.length = 0  # including the running statement
        self.moved_at = 0.0  # when a statement last began or ended

    async def run(self, sql: str, call: Call, max_wait: float) -> list[sqlite3.Row]:
        """Run a statement and return its rows. Give up if it has to wait for too long."""
        if self.length >= MAX_WAITING:
            raise TimeoutError(FULL)
        if not self.length:
            self.moved_at = time.monotonic()
        self.length += 1
        running = self.connection.execute_fetchall(sql, call)
        try:
            rows = await (running if self.length == 1 else _begun_within(max_wait, call, running))
            return cast(list[sqlite3.Row], rows)
        except BaseException:
            call.claim()
            call.is_canceled = True
            raise
        finally:
            self.length -= 1
            self.moved_at = time.monotonic()

    def rank(self) -> tuple[bool, int]:
        """Return a sort key: the shortest queue first, queues with a slow statement last."""
        is_stuck = self.length > 0 and time.monotonic() - self.moved_at > STUCK_AFTER
        return is_stuck, self.length


class Connections:
    """Connections that are opened and closed together. Call `open` while `must_open` is true.

    A file that was read-only when SQLite opened it stays read-only for the whole process, until the
    last connection is closed.
    """

    def __init__(self, file: Path, size: int, max_wait: float, timeout: float) -> None:
        """Create the object without connecting.

        A statement must begin within `max_wait` seconds, and then end within `timeout` seconds.
        """
        self.must_open = True
        self._file = file
        self._size = max(2, size)
        self._max_wait = max_wait
        self._timeout = timeout
        self._opening = asyncio.Lock()
        self._all: list[aiosqlite.Connection] = []
        self._writer: _Queue
        self._readers: list[_Queue] = []
        self._threads: list[Thread] = []

    @property
    def writer(self) -> aiosqlite.Connection:
        return self._writer.connection

    async def write(self, sql: str, call: Call) -> Sequence[sqlite3.Row]:
        """Run a statement on the writing connection, and return its rows."""
        return await self._run(self._writer, sql, call)

    async def read(self, sql: str, call: Call) -> Sequence[sqlite3.Row]:
        """Run a statement on the least busy reading connection, and return its rows."""
        return await self._run(min(self._readers, key=_Queue.rank), sql, call)

    async def _run(self, queue: _Queue, sql: str, call: Call) -> Sequence[sqlite3.Row]:
        try:
            return await queue.run(sql, call, self._max_wait)
        except sqlite3.Error as error:
            self.must_open |= _code(error) in REOPEN_AFTER
            raise

    async def open(self) -> None:
        """Close all connections, then open new ones. No transaction may be in progress.

        Opening continues if the caller is canceled. The next call waits for it.
        """
        await asyncio.shield(self._reopen())

    async def close(self) -> None:
        """Close all connections, after the statements in their queues."""
        async with self._opening:
            await asyncio.shield(self._close())

    async def _reopen(self) -> None:
        async with self._opening:
            if not self.must_open:
                return
            await self._close()
            # Threads of a daemon thread are daemons, too. A process that is forced to exit would
            # wait forever for any other thread.
            maker = Thread(target=self._make_connections, daemon=True)
            maker.start()
            maker.join()
            for connection in self._all:
                await connection
            self._writer, *self._readers = map(_Queue, self._all)
            self.must_open = False

    def _make_connections(self) -> None:
        options: dict[str, Any] = {"timeout": self._timeout, "threads": self._threads}
        self._all = [
            aiosqlite.connect(self._file, factory=_Connection, isolation_level=None, **options)
            for _ in range(self._size)
        ]

    async def _close(self) -> None:
        self.must_open, self._readers = True, []
        while self._all:
            await self._all.pop().close()
        while self._threads:  # including threads whose connection failed to open
            self._threads.pop().join()


async def _begun_within(seconds: float, call: Call, running: Awaitable[Any]) -> Any:
    """Await a statement that is queued. Raises TimeoutError if it cannot begin in time."""

    def give_up() -> None:
        if call.claim():
            limit.reschedule(0)

    try:
        async with asyncio.timeout(None) as limit:
            timer = asyncio.get_running_loop().call_later(seconds, give_up)
            try:
                return await running
            finally:
                timer.cancel()
    except TimeoutError:
        raise TimeoutError(BUSY) from None


def _code(error: BaseException) -> int:
    """Return SQLite's primary result code for an error, or 0."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF
