"""Reads continue during writes, and interrupted statements leave nothing behind."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from app import connections
from app import engine as engine_module
from app.config import DatabaseSettings
from app.engine import (
    DIALECT,
    INTEGRITY_ERRORS,
    UNAVAILABLE_ERRORS,
    Engine,
    UtcDateTime,
    is_missing_reference,
)
from tests.database import DURABLE_SETTINGS, MAKE_READ_ONLY, SLOW_QUERY

pytestmark = pytest.mark.slow

TABLES = """
    CREATE TABLE numbers (number INTEGER PRIMARY KEY);
    CREATE TABLE children (number INTEGER REFERENCES numbers DEFERRABLE INITIALLY DEFERRED);
"""
NUMBERS = "SELECT number FROM numbers ORDER BY number"
INSERT = "INSERT INTO numbers VALUES (?)"
INSERT_ORPHAN = "INSERT INTO children VALUES (1)"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database with tables. Its path has characters that a URL has to escape."""
    file = tmp_path / "ten % of ä.db"
    with closing(sqlite3.connect(file)) as other:
        other.executescript(TABLES)
    return file


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(1)
        assert not thread.is_alive(), "a connection is still open"


@asynccontextmanager
async def running(file: Path, **changes: Any) -> AsyncIterator[Engine]:
    url = SecretStr(f"sqlite:///{quote(str(file))}")
    engine = Engine(DatabaseSettings(database_url=url, **changes))
    try:
        yield engine
    finally:
        await engine.close()


@pytest.fixture
async def engine(file: Path) -> AsyncIterator[Engine]:
    async with running(file) as engine:
        yield engine


async def read(engine: Engine, sql: str = NUMBERS) -> list[Any]:
    return [row[0] for row in await engine.fetch(sql, [], reads=True)]


async def write(engine: Engine, *numbers: int) -> None:
    for number in numbers:
        await engine.fetch(INSERT, [number], reads=False)


async def write_both(engine: Engine, *numbers: int) -> None:
    async with engine.transaction() as fetch:
        for number in numbers:
            await fetch(INSERT, [number], reads=False)


async def write_and(engine: Engine, block: Awaitable[object]) -> None:
    async with engine.transaction() as fetch:
        await fetch(INSERT, [1], reads=False)
        await block


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold the write lock in the block. Raises OperationalError if it is already held."""
    with closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def numbers_in(file: Path) -> list[int]:
    with closing(sqlite3.connect(file)) as other:
        return [number for (number,) in other.execute(NUMBERS)]


async def started(awaitable: Awaitable[Any], seconds: float = 0.05) -> "asyncio.Task[Any]":
    """Return a task that has been running for `seconds`."""
    task = asyncio.ensure_future(awaitable)
    await asyncio.sleep(seconds)
    assert not task.done()
    return task


async def canceled(task: "asyncio.Future[Any]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_rows_have_column_names(engine: Engine) -> None:
    [row] = await engine.fetch("SELECT ? AS one, 2 AS two", ["x"], reads=True)

    assert (tuple(row), row.keys()) == (("x", 2), ["one", "two"])


@pytest.mark.parametrize(("pragma", "value"), DURABLE_SETTINGS.items())
async def test_each_connection_has_the_durable_settings(
    file: Path, pragma: str, value: dict[str, Any]
) -> None:
    async with running(file, database_pool_size=4) as engine:
        kinds = (True, True, True, False)
        found = await asyncio.gather(*(engine.fetch(pragma, [], reads=kind) for kind in kinds))

    assert [dict(row) for [row] in found] == [value] * 4


async def test_write_is_durable_and_visible_to_the_next_read(engine: Engine, file: Path) -> None:
    await write(engine, 1)

    assert await read(engine) == numbers_in(file) == [1]


async def test_reads_during_a_transaction_see_committed_rows_only(engine: Engine) -> None:
    async with engine.transaction() as fetch:
        await fetch(INSERT, [1], reads=False)
        assert [row[0] for row in await fetch(NUMBERS, [], reads=True)] == [1]
        before = await asyncio.gather(*(read(engine) for _ in range(50)))

    assert before == [[]] * 50
    assert await read(engine) == [1]


async def test_writes_wait_for_an_open_transaction(engine: Engine, file: Path) -> None:
    async with engine.transaction() as fetch:
        await fetch(INSERT, [1], reads=False)
        waiting = await started(asyncio.gather(*(write(engine, n) for n in range(2, 50))))
        assert numbers_in(file) == []
    await waiting

    assert numbers_in(file) == list(range(1, 50))


async def test_several_engines_share_a_file(file: Path) -> None:
    async with running(file) as engine, running(file) as other:
        writes = [write(one, n) for n in range(60) for one in [(engine, other)[n % 2]]]
        transactions = [write_both(one, 100 + n, 200 + n) for n, one in enumerate((engine, other))]
        await asyncio.gather(*writes, *transactions)

    assert len(numbers_in(file)) == 64


@pytest.mark.parametrize("reads", [True, False])
async def test_slow_statement_is_interrupted_while_others_run(file: Path, reads: bool) -> None:
    async with running(file, database_statement_timeout_seconds=1.5) as engine:
        await read(engine)
        slow = await started(engine.fetch(SLOW_QUERY, [], reads=reads))
        await asyncio.gather(*(read(engine) for _ in range(20)))
        assert not slow.done()

        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            await slow
        await write(engine, 1)


async def test_reads_avoid_a_connection_with_a_slow_statement(file: Path) -> None:
    async with running(file, database_pool_size=3) as engine:
        await read(engine)
        slow = await started(read(engine, SLOW_QUERY))
        for _ in range(20):
            await asyncio.gather(*(read(engine) for _ in range(5)))

        assert not slow.done()
        await canceled(slow)


async def test_read_that_waited_too_long_raises_and_never_runs(file: Path) -> None:
    limits = {"database_pool_timeout_seconds": 0.1, "database_statement_timeout_seconds": 0.6}
    async with running(file, database_pool_size=1, **limits) as engine:
        slow = await started(read(engine, SLOW_QUERY))
        with pytest.raises(TimeoutError, match="busy for too long"):
            await read(engine, SLOW_QUERY)
        was_skipped_in_time = not slow.done()

        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            await slow
        assert await read(engine) == []
        assert was_skipped_in_time


async def test_running_read_is_not_limited_by_the_pool_timeout(file: Path) -> None:
    limits = {"database_pool_timeout_seconds": 0.3, "database_statement_timeout_seconds": 0.2}
    async with running(file, database_pool_size=1, **limits) as engine:
        first = await started(read(engine, SLOW_QUERY))
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            await read(engine, SLOW_QUERY)

        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            await first


async def test_canceled_read_frees_its_connection(file: Path) -> None:
    async with running(file, database_pool_size=1) as engine:
        running_one = await started(read(engine, SLOW_QUERY))
        waiting_one = await started(read(engine, SLOW_QUERY))
        await canceled(waiting_one)
        await canceled(running_one)

        assert await asyncio.wait_for(read(engine), 1) == []


async def test_write_waits_for_a_lock_of_another_process(file: Path) -> None:
    async with running(file, database_statement_timeout_seconds=0.2) as engine:
        await read(engine)
        with locked(file):
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                await write(engine, 1)
            with pytest.raises(TimeoutError, match="took too long"):
                await write_both(engine, 1, 2)
            assert await read(engine) == []
            waiting = await started(write(engine, 3))
        await waiting

    assert numbers_in(file) == [3]


@pytest.mark.parametrize("change", [write, write_both])
async def test_write_canceled_while_waiting_for_a_lock_never_runs(
    engine: Engine, file: Path, change: Callable[..., Awaitable[None]]
) -> None:
    await read(engine)
    with locked(file):
        waiting = await started(change(engine, 1))
        await asyncio.wait_for(canceled(waiting), 1)
    await write(engine, 2)

    assert numbers_in(file) == [2]


async def test_write_that_waited_too_long_raises_and_never_runs(file: Path) -> None:
    async with running(file, database_pool_timeout_seconds=0.1) as engine:
        async with engine.transaction() as fetch:
            for change in (write, write_both):
                with pytest.raises(TimeoutError, match="busy for too long"):
                    await change(engine, 1)
            await fetch(INSERT, [2], reads=False)
        await write(engine, 3)

    assert numbers_in(file) == [2, 3]


async def test_statement_raises_when_the_queue_is_full(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (engine_module, connections):
        monkeypatch.setattr(module, "MAX_WAITING", 2)
    async with running(file, database_pool_size=1) as engine:
        reading = [await started(read(engine, SLOW_QUERY)) for _ in range(2)]
        async with engine.transaction():
            writing = [await started(write(engine, n)) for n in range(2)]
            with pytest.raises(TimeoutError, match="too many"):
                await write(engine, 2)
            with pytest.raises(TimeoutError, match="too many"):
                await read(engine)
        await asyncio.gather(*writing)
        await asyncio.gather(*map(canceled, reading))

        assert await read(engine) == [0, 1]


@pytest.mark.parametrize("cancellations", [1, 2])
@pytest.mark.parametrize("change", [read, write, write_both])
async def test_cancellation_leaves_no_lock_and_no_partial_transaction(
    engine: Engine, file: Path, change: Callable[..., Awaitable[Any]], cancellations: int
) -> None:
    await read(engine)
    for step in range(100):
        arguments = [] if change is read else [1 + 3 * step, 2 + 3 * step]
        task = asyncio.ensure_future(change(engine, *arguments))
        for _ in range(step % 20):
            await asyncio.sleep(0)
        time.sleep(step // 20 * 0.000_1)  # noqa: ASYNC251 - only the thread of the connection runs meanwhile
        for _ in range(step % 3):
            await asyncio.sleep(0)
        for _ in range(cancellations):
            task.cancel()
            await asyncio.sleep(0)
        with suppress(asyncio.CancelledError):
            await task

        await write(engine, 3 * step)
        with locked(file):
            pass
        if change is write_both:
            found = numbers_in(file)
            assert (1 + 3 * step in found) == (2 + 3 * step in found)


async def test_cancellation_while_connections_open_leaves_none_behind(file: Path) -> None:
    for step in range(30):
        async with running(file, database_pool_size=3) as engine:
            task = asyncio.ensure_future(read(engine))
            for _ in range(step % 10):
                await asyncio.sleep(0)
            time.sleep(step // 10 * 0.001)  # noqa: ASYNC251 - threads go on
            await asyncio.sleep(0)
            await canceled(task)

            await asyncio.gather(read(engine), write(engine, step))


async def test_opening_continues_after_cancellation(file: Path) -> None:
    async with running(file) as engine:
        with locked(file):  # so that it cannot be switched to WAL
            await canceled(await started(read(engine)))
            waiting = await started(read(engine))
        assert await waiting == []


async def test_exception_rolls_back(engine: Engine, file: Path) -> None:
    async def fail() -> None:
        raise TimeoutError("of the block")

    with pytest.raises(TimeoutError, match="of the block"):
        await write_and(engine, fail())

    with locked(file):
        assert numbers_in(file) == []


async def test_transaction_over_its_deadline_rolls_back(file: Path) -> None:
    async with running(file, database_statement_timeout_seconds=0.2) as engine:
        for block in (asyncio.sleep(5), read(engine, SLOW_QUERY)):
            with pytest.raises(TimeoutError, match="took too long"):
                await write_and(engine, asyncio.gather(block, asyncio.sleep(5)))
            with locked(file):
                assert numbers_in(file) == []


async def test_failed_commit_raises_and_leaves_no_lock(engine: Engine, file: Path) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        async with engine.transaction() as fetch:
            await fetch(INSERT_ORPHAN, [], reads=False)

    with locked(file):
        pass
    assert await read(engine, "SELECT * FROM children") == []


async def test_transaction_holds_the_write_lock_from_its_beginning(
    engine: Engine, file: Path
) -> None:
    async with engine.transaction():
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            locked(file).__enter__()


async def test_transaction_that_a_statement_leaves_open_is_rolled_back(
    engine: Engine, file: Path
) -> None:
    await engine.fetch("BEGIN IMMEDIATE", [], reads=False)

    with locked(file):
        pass


async def test_connections_that_became_read_only_are_replaced(engine: Engine, file: Path) -> None:
    await engine.fetch(MAKE_READ_ONLY, [], reads=False)

    # Statements that are already queued fail, too.
    for number in (1, 2):
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await asyncio.gather(write(engine, number), read(engine), write(engine, number + 10))
        await asyncio.gather(*(write(engine, number * 100 + n) for n in range(9)))
        await engine.fetch(MAKE_READ_ONLY, [], reads=False)

    assert len(numbers_in(file)) == 18


async def test_connections_are_not_replaced_during_a_transaction(engine: Engine) -> None:
    async with engine.transaction() as fetch:
        await engine.fetch(MAKE_READ_ONLY, [], reads=True)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await engine.fetch(INSERT, [1], reads=True)
        waiting = await started(read(engine))
        await fetch(INSERT, [2], reads=False)
    assert await waiting == [2]


async def test_replaced_file_is_reopened(file: Path) -> None:
    other = file.parent / "other.db"
    other.write_text("This is no database. " * 100)
    async with running(other) as engine:
        for use in (read(engine), write(engine, 1)):
            with pytest.raises(sqlite3.DatabaseError, match="not a database"):
                await use
        file.rename(other)  # noqa: ASYNC240

        await write(engine, 2)
        assert await read(engine) == [2]


async def test_open_connections_do_not_keep_the_process_alive(engine: Engine) -> None:
    before = set(threading.enumerate())
    await read(engine)

    threads = set(threading.enumerate()) - before
    assert [thread.daemon for thread in threads] == [True] * 10


async def test_close_waits_for_running_statements(file: Path) -> None:
    async with running(file) as engine:
        await read(engine)
        with locked(file):
            writing = await started(write(engine, 1))
            closing_it = await started(engine.close())
        await closing_it
        await writing

    assert numbers_in(file) == [1]


async def test_value_out_of_range_raises_an_integrity_error(engine: Engine) -> None:
    with pytest.raises(INTEGRITY_ERRORS):
        await write(engine, 2**64)


async def test_deletion_that_would_cascade_too_far_is_a_missing_reference(file: Path) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.executescript("""
            CREATE TABLE chain (id INTEGER PRIMARY KEY, next REFERENCES chain ON DELETE CASCADE);
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1100)
            INSERT INTO chain SELECT i, i - 1 FROM n WHERE i > 1;
            INSERT INTO chain VALUES (1, NULL);
        """)
    async with running(file) as engine:
        with pytest.raises(sqlite3.OperationalError) as raised:
            await engine.fetch("DELETE FROM chain WHERE id = 1", (), reads=False)

        assert is_missing_reference(raised.value)


async def test_missing_table_raises_an_unavailable_error(engine: Engine) -> None:
    with pytest.raises(UNAVAILABLE_ERRORS) as raised:
        await read(engine, "SELECT * FROM missing")

    assert not isinstance(raised.value, INTEGRITY_ERRORS)


def test_timestamps_are_stored_in_utc() -> None:
    stored = UtcDateTime().dialect_impl(DIALECT)
    bind, result = stored.bind_processor(DIALECT), stored.result_processor(DIALECT, 0)
    assert bind
    assert result
    noon_in_india = datetime(2026, 1, 2, 12, tzinfo=timezone(timedelta(hours=5.5)))

    assert bind(noon_in_india) == "2026-01-02 06:30:00.000000"
    assert result("2026-01-02 06:30:00.000000") == noon_in_india
    assert bind(None) is result(None) is None
    with pytest.raises(ValueError, match="time zone"):
        bind(noon_in_india.replace(tzinfo=None))
