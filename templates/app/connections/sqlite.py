"""The connections of this process to its SQLite file: one writes, while the others read.

Each has a thread of its own, which runs statements in the order in which they arrive.
"""

import asyncio
import math
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Thread, current_thread
from typing import Any, cast

import aiosqlite

PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # what was committed survives a power cut
    "PRAGMA foreign_keys = ON",
)
CHECK_EVERY = 10_000  # SQLite's own instructions: several times in a millisecond
LOCK_RETRY = 0.002  # seconds
STUCK_AFTER = 0.02  # seconds
MAX_WAITING = 1_000  # statements in one queue
BUSY = "the connection was busy for too long"
FULL = "too many statements wait for a connection"
REOPEN_AFTER = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}


class Call(list[Any]):
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
                self.execute(pragma, Call())
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
    """A connection by which several requests read."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self.connection = connection
        self.load = 0  # statements in its queue, the running one included
        self.moved_at = 0.0  # when the last one began or ended


class Connections:
    """They are opened together and closed together. `must_open` says when `open` is due.

    That a file was read-only when it was opened holds for all connections of the process, new ones
    too, until the last of them is closed.
    """

    def __init__(self, file: Path, size: int, timeout: float) -> None:
        """Nothing is connected yet. Each statement has `timeout` seconds."""
        self.must_open = True
        self._file = file
        self._size = max(2, size)
        self._timeout = timeout
        self._opening = asyncio.Lock()
        self._all: list[aiosqlite.Connection] = []
        self._readers: list[_Reader] = []
        self._threads: list[Thread] = []

    @property
    def writer(self) -> aiosqlite.Connection:
        return self._all[0]

    async def write(self, sql: str, call: Call) -> Sequence[sqlite3.Row]:
        """Run a statement on the connection that writes, and return its rows."""
        return await self._run(self.writer, sql, call)

    async def read(self, sql: str, arguments: Sequence[Any], max_wait: float) -> list[sqlite3.Row]:
        """Run a statement on the least busy one of the others, and return its rows."""
        call, now = Call(arguments), time.monotonic()
        call.start_by = now + max_wait
        reader = self._least_busy(now)
        reader.load += 1
        try:
            return await self._run(reader.connection, sql, call)
        finally:
            reader.load -= 1
            reader.moved_at = time.monotonic()

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

    async def _run(
        self, connection: aiosqlite.Connection, sql: str, call: Call
    ) -> list[sqlite3.Row]:
        try:
            return cast(list[sqlite3.Row], await connection.execute_fetchall(sql, call))
        except BaseException as error:
            call.is_canceled = True
            self.must_open |= _code(error) in REOPEN_AFTER
            raise

    async def open(self) -> None:
        """Close all connections, then open new ones. No transaction may be under way.

        This goes on if it is canceled, and the next one waits for it.
        """
        await asyncio.shield(self._reopen())

    async def close(self) -> None:
        """Close all connections, after what they are running."""
        async with self._opening:
            await asyncio.shield(self._close())

    async def _reopen(self) -> None:
        async with self._opening:
            if not self.must_open:
                return
            await self._close()
            # Threads are daemons if the thread that makes them is one. A process that is forced to
            # exit would wait forever for others.
            maker = Thread(target=self._make_connections, daemon=True)
            maker.start()
            maker.join()
            for connection in self._all:
                await connection
            self._readers = [_Reader(connection) for connection in self._all[1:]]
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
        while self._threads:  # those that failed to open, too
            self._threads.pop().join()


def _code(error: BaseException) -> int:
    """Return SQLite's primary result code for an error, or 0."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF
