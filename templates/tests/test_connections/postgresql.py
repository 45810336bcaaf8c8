"""Lost connections are replaced, and interrupted statements leave nothing behind."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from pydantic import SecretStr

from app import connections
from app.config import PROJECT, Settings
from app.connections import Connector, Pool
from app.database_url import parse
from app.engine import INTEGRITY_ERRORS, UNAVAILABLE_ERRORS, Engine, Fetch
from scripts.postgres import running_server

pytestmark = pytest.mark.slow

PID = "SELECT pg_backend_pid()"
INSERT = "INSERT INTO numbers VALUES ($1)"
NAME = "tests of connections"


def changed(settings: Settings, parameters: str = "", **changes: Any) -> Settings:
    """Return settings with more parameters in the URL. Of each parameter the last one wins."""
    url = settings.database_url.get_secret_value()
    named = f"{url}{'&' if '?' in url else '?'}application_name={NAME.replace(' ', '%20')}"
    return settings.model_copy(update={"database_url": SecretStr(named + parameters), **changes})


@asynccontextmanager
async def running(
    settings: Settings, parameters: str = "", **changes: Any
) -> AsyncIterator[Engine]:
    engine = Engine(changed(settings, parameters, **changes))
    try:
        yield engine
    finally:
        await engine.close()


async def connected(settings: Settings) -> asyncpg.Connection:
    """Return a connection that is not in a pool."""
    return await Connector(parse(settings.database_url.get_secret_value(), PROJECT)).connect(10)


@pytest.fixture
async def other(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """Yield a connection that is not in the pool, and create an empty table."""
    connection = await connected(settings)
    await connection.execute(
        "CREATE TABLE numbers (number int UNIQUE DEFERRABLE INITIALLY DEFERRED, "
        "CHECK (number < 1000))"
    )
    yield connection
    await connection.execute("DROP TABLE numbers")
    await connection.close()


async def fetch(engine: Engine, sql: str, *arguments: object) -> list[Any]:
    """Return the first column."""
    return [row[0] for row in await engine.fetch(sql, arguments, reads=False)]


async def transact(engine: Engine, block: Callable[[Fetch], Awaitable[object]]) -> None:
    async with engine.transaction() as in_transaction:
        await block(in_transaction)


async def pids(engine: Engine, number: int) -> set[int]:
    """Use `number` connections at once, and return the process ids of their backends."""
    async with AsyncExitStack() as stack:
        held = [await stack.enter_async_context(engine.transaction()) for _ in range(number)]
        return {(await in_transaction(PID, [], reads=True))[0][0] for in_transaction in held}


async def numbers(other: asyncpg.Connection) -> list[int]:
    return [row[0] for row in await other.fetch("SELECT number FROM numbers ORDER BY number")]


def terminate(settings: Settings, pid: int) -> None:
    """End a backend and wait until it has gone. This blocks the event loop."""

    async def ended() -> None:
        connection = await connected(settings)
        await connection.execute(f"SELECT pg_terminate_backend({pid}, 5000)")
        await connection.close()

    thread = threading.Thread(target=asyncio.run, args=[ended()])
    thread.start()
    thread.join()


async def until(is_true: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    deadline = time.monotonic() + 5
    while not await is_true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


class Proxy:
    """Forwards connections to the database, and can go silent on those that are open."""

    def __init__(self, settings: Settings) -> None:
        [self.address, *_] = parse(settings.database_url.get_secret_value(), PROJECT).hosts
        self._passing = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def go_silent(self) -> None:
        self._passing.clear()
        self._passing = asyncio.Event()
        self._passing.set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Yield the URL parameters with which a client connects to this proxy."""
        self._passing.set()
        async with await asyncio.start_server(self._forward, "127.0.0.1") as server:
            yield "&host=127.0.0.1&port={1}".format(*server.sockets[0].getsockname())
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self.address
        if host.startswith("/"):
            server = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            server = await asyncio.open_connection(host, port)
        for source, target in ((reader, server[1]), (server[0], writer)):
            task = asyncio.create_task(self._copy(source, target, self._passing))
            self._tasks.add(task)

    async def _copy(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, passing: asyncio.Event
    ) -> None:
        try:
            while data := await source.read(65_536):
                await passing.wait()
                target.write(data)
        finally:
            target.close()


async def test_most_recently_used_connection_is_used_first(settings: Settings) -> None:
    async with running(settings) as engine:
        several = await pids(engine, 3)
        used = [await fetch(engine, PID) for _ in range(5)]

    assert len(several) == 3
    assert used == [used[0]] * 5


@pytest.mark.parametrize("has_noticed", [True, False])
async def test_connection_that_the_server_closed_while_idle_is_replaced(
    settings: Settings, has_noticed: bool
) -> None:
    async with running(settings) as engine:
        [pid] = await fetch(engine, PID)
        terminate(settings, pid)
        with ExitStack() as stack:
            if has_noticed:
                await asyncio.sleep(0.05)
                # One of them gets the file descriptor of the closed connection.
                for end in (end for _ in range(10) for end in socket.socketpair()):
                    stack.enter_context(end)

            assert await fetch(engine, PID) != [pid]


async def test_connections_closed_by_idle_session_timeout_are_replaced(
    settings: Settings,
) -> None:
    async with running(settings, "&options=-cidle_session_timeout%3D200ms") as engine:
        before = await pids(engine, 3)
        await asyncio.sleep(0.4)
        after = await pids(engine, 3)

    assert before.isdisjoint(after)


@pytest.mark.slow
async def test_connections_are_replaced_after_a_server_restart(settings: Settings) -> None:
    with TemporaryDirectory() as folder:
        with running_server(Path(folder), "-F") as url:
            own = settings.model_copy(update={"database_url": SecretStr(url)})
            engine = Engine(own)
            await pids(engine, 3)
        with pytest.raises(ConnectionError):
            await fetch(engine, PID)
        with running_server(Path(folder), "-F"):
            assert len(await pids(engine, 3)) == 3
            await engine.close()


async def test_connections_lost_silently_while_idle_are_replaced(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "PING_AFTER", 0)
    proxy = Proxy(settings)
    async with proxy.listening() as parameters, running(settings, parameters) as engine:
        before = await pids(engine, 5)
        assert await pids(engine, 5) == before
        proxy.go_silent()
        started = time.monotonic()
        after = await pids(engine, 5)
        passed = time.monotonic() - started

    assert len(after) == 5
    assert before.isdisjoint(after)
    assert passed < 4 * connections.PING_TIMEOUT, "only one connection should wait for a ping"


async def test_connection_lost_during_a_statement_raises(settings: Settings) -> None:
    async with running(settings) as engine:
        before = await pids(engine, 2)
        [pid] = await fetch(engine, PID)
        asyncio.get_running_loop().call_later(0.1, terminate, settings, pid)
        with pytest.raises(asyncpg.ConnectionDoesNotExistError) as caught:
            await fetch(engine, "SELECT pg_sleep(10)")
        after = await pids(engine, 2)

    assert isinstance(caught.value, UNAVAILABLE_ERRORS)
    assert before.isdisjoint(after)


async def test_connections_to_a_server_that_became_read_only_are_replaced(
    settings: Settings, other: asyncpg.Connection
) -> None:
    async with running(settings) as engine:
        before = await pids(engine, 2)
        await fetch(engine, "SET default_transaction_read_only = on")
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await fetch(engine, INSERT, 1)
        after = await pids(engine, 2)
        await fetch(engine, INSERT, 2)

        assert before.isdisjoint(after)
        assert await pids(engine, 2) == after
    assert await numbers(other) == [2]


async def test_replica_to_which_a_pooler_has_switched_is_not_read(
    settings: Settings, other: asyncpg.Connection
) -> None:
    # The server pretends to be a replica while the table has rows.
    await other.execute(
        "CREATE SCHEMA pretended; CREATE FUNCTION pretended.pg_is_in_recovery() RETURNS bool "
        "STABLE LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM public.numbers)'"
    )
    path = "&options=-csearch_path%3Dpretended,pg_catalog,public"
    try:
        async with running(settings, path, database_transaction_pooling=True) as engine:
            before = await fetch(engine, PID)
            await other.execute(INSERT, 1)
            for error in (asyncpg.ReadOnlySQLTransactionError, ConnectionError):
                with pytest.raises(error, match="the server is a replica"):
                    await fetch(engine, "SELECT number FROM numbers")
            await other.execute("DELETE FROM numbers")
            after = await fetch(engine, PID)
    finally:
        await other.execute("DROP SCHEMA pretended CASCADE")

    assert before != after


async def test_statement_that_waits_too_long_for_a_connection_raises(settings: Settings) -> None:
    async with running(settings, database_pool_size=1, database_pool_timeout_seconds=0.1) as engine:
        async with engine.transaction():
            with pytest.raises(TimeoutError, match="no connection became free"):
                await fetch(engine, PID)
        assert await fetch(engine, PID)


async def test_each_waiting_statement_has_its_own_deadline(settings: Settings) -> None:
    async def waited() -> float:
        started = time.monotonic()
        with pytest.raises(TimeoutError, match="no connection became free"):
            await fetch(engine, PID)
        return time.monotonic() - started

    changes: dict[str, Any] = {"database_pool_size": 1, "database_pool_timeout_seconds": 0.2}
    async with running(settings, **changes) as engine, engine.transaction():
        first = asyncio.create_task(waited())
        await asyncio.sleep(0.1)
        second = asyncio.create_task(waited())

        assert await first >= 0.19
        assert await second >= 0.19


async def test_waiting_statements_run_in_order(settings: Settings) -> None:
    done: list[int] = []

    async def one(number: int) -> None:
        await fetch(engine, "SELECT 1")
        done.append(number)

    async with running(settings, database_pool_size=1) as engine:
        waiting = [asyncio.create_task(one(number)) for number in range(5)]
        await asyncio.sleep(0)
        waiting[2].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    assert done == [0, 1, 3, 4]


@pytest.mark.parametrize("is_canceled_first", [True, False])
async def test_slot_released_to_a_canceled_statement_is_not_lost(
    settings: Settings, is_canceled_first: bool
) -> None:
    target = parse(settings.database_url.get_secret_value(), PROJECT)
    pool = Pool(1, 1, Connector(target).connect)
    slot = await pool.acquire()
    waiting = asyncio.create_task(pool.acquire())
    await asyncio.sleep(0)

    # The event loop does not run in between.
    if is_canceled_first:
        waiting.cancel()
    pool.release(slot)
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await pool.acquire() is slot
    await pool.close()


async def test_statement_raises_when_the_queue_is_full(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_WAITING", 3)
    async with running(settings, database_pool_size=1) as engine:
        results = await asyncio.gather(
            *(fetch(engine, PID) for _ in range(10)), return_exceptions=True
        )

    refused = [result for result in results if isinstance(result, TimeoutError)]
    assert len(refused) == 6
    assert "already waiting for a connection" in str(refused[0])


async def test_canceled_and_late_statements_leave_the_queue(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_WAITING", 1)
    changes: dict[str, Any] = {"database_pool_size": 1, "database_pool_timeout_seconds": 0.05}
    async with running(settings, **changes) as engine, engine.transaction():
        canceled = asyncio.create_task(fetch(engine, PID))
        await asyncio.sleep(0)
        canceled.cancel()
        await asyncio.gather(canceled, return_exceptions=True)
        for _ in range(2):
            with pytest.raises(TimeoutError, match="no connection became free"):
                await fetch(engine, PID)


async def test_statement_over_its_deadline_has_no_effect(
    settings: Settings, other: asyncpg.Connection
) -> None:
    async def block(in_transaction: Fetch) -> None:
        await in_transaction(INSERT, [2], reads=False)

    hasty = running(settings, database_statement_timeout_seconds=0.2)
    async with hasty as engine, other.transaction():
        await other.execute("LOCK TABLE numbers")
        with pytest.raises(TimeoutError):
            await fetch(engine, INSERT, 1)
        with pytest.raises(TimeoutError):
            await transact(engine, block)

    await is_left_alone(other)
    assert await numbers(other) == []


@pytest.mark.parametrize("idle", [0, 2])
async def test_connections_to_a_silent_server_are_replaced_after_a_timeout(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, idle: int
) -> None:
    for limit in ("PING_TIMEOUT", "CANCEL_TIMEOUT"):
        monkeypatch.setattr(connections, limit, 0.1)
    proxy = Proxy(settings)
    changes = {"database_statement_timeout_seconds": 1, "database_pool_size": 3}
    async with proxy.listening() as parameters, running(settings, parameters, **changes) as engine:
        before = await pids(engine, 3)
        proxy.go_silent()
        waiting = [fetch(engine, PID) for _ in range(3 - idle)]
        failed = await asyncio.gather(*waiting, return_exceptions=True)
        started = time.monotonic()
        [pid] = await fetch(engine, PID)
        passed = time.monotonic() - started
        after = await pids(engine, 3)

    assert {type(error) for error in failed} == {TimeoutError}
    assert {pid}.isdisjoint(before)
    assert before.isdisjoint(after)
    assert passed < 0.9, "neither a ping nor closing should take as long as the statement"


@pytest.mark.parametrize("number", [1000, 2**31 + 1])
async def test_integrity_error_keeps_the_connection(
    settings: Settings, other: asyncpg.Connection, number: int
) -> None:
    async with running(settings) as engine:
        [pid] = await fetch(engine, PID)
        with pytest.raises(INTEGRITY_ERRORS):
            await fetch(engine, INSERT, number)

        assert await fetch(engine, PID) == [pid]
    assert await numbers(other) == []


async def test_transaction_that_a_statement_leaves_open_is_rolled_back(
    settings: Settings, other: asyncpg.Connection
) -> None:
    async with running(settings, database_pool_size=1) as engine:
        await fetch(engine, "BEGIN")
        await fetch(engine, INSERT, 1)

    assert await numbers(other) == [1]


async def test_transaction_is_committed_when_its_block_ends(
    settings: Settings, other: asyncpg.Connection
) -> None:
    async with running(settings) as engine, engine.transaction() as in_transaction:
        await in_transaction(INSERT, [1], reads=False)
        await in_transaction(INSERT, [2], reads=False)
        within = await numbers(other)

    assert within == []
    assert await numbers(other) == [1, 2]


async def test_exception_rolls_back_and_keeps_the_connection(
    settings: Settings, other: asyncpg.Connection
) -> None:
    async def block(in_transaction: Fetch) -> None:
        await in_transaction(INSERT, [1], reads=False)
        raise KeyError

    async with running(settings) as engine:
        [pid] = await fetch(engine, PID)
        with pytest.raises(KeyError):
            await transact(engine, block)

        assert await fetch(engine, PID) == [pid]
    assert await numbers(other) == []


async def test_exception_in_a_transaction_is_raised_even_if_the_rollback_fails(
    settings: Settings,
) -> None:
    async def block(in_transaction: Fetch) -> None:
        [[pid]] = await in_transaction(PID, [], reads=True)
        terminate(settings, pid)
        raise KeyError

    async with running(settings) as engine:
        with pytest.raises(KeyError):
            await transact(engine, block)

        assert await fetch(engine, PID)


async def test_failed_commit_raises_and_keeps_the_connection(
    settings: Settings, other: asyncpg.Connection
) -> None:
    async def block(in_transaction: Fetch) -> None:
        for _ in range(2):
            await in_transaction(INSERT, [1], reads=False)

    async with running(settings) as engine:
        [pid] = await fetch(engine, PID)
        with pytest.raises(asyncpg.UniqueViolationError):
            await transact(engine, block)

        assert await fetch(engine, PID) == [pid]
    assert await numbers(other) == []


async def test_transaction_over_its_deadline_rolls_back(
    settings: Settings, other: asyncpg.Connection
) -> None:
    async def block(in_transaction: Fetch) -> None:
        await in_transaction(INSERT, [1], reads=False)
        await asyncio.sleep(10)

    async with running(settings, database_statement_timeout_seconds=0.2) as engine:
        with pytest.raises(TimeoutError):
            await transact(engine, block)

        await is_left_alone(other)
    assert await numbers(other) == []


async def is_left_alone(other: asyncpg.Connection) -> None:
    """Wait until no connection of the engine is in a transaction or holds a lock."""

    async def is_so() -> bool:
        busy = await other.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND state <> 'idle'",
            NAME,
        )
        locks = await other.fetchval(
            "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) "
            "WHERE application_name = $1",
            NAME,
        )
        return (busy, locks) == (0, 0)

    await until(is_so)


async def one_statement(engine: Engine) -> None:
    await fetch(engine, "INSERT INTO numbers SELECT max(number) + 1 FROM numbers")


async def one_transaction(engine: Engine) -> None:
    async with engine.transaction() as in_transaction:
        await in_transaction("LOCK TABLE numbers", [], reads=False)
        await in_transaction(INSERT, [1], reads=False)
        await in_transaction("DELETE FROM numbers", [], reads=False)


@pytest.mark.slow
@pytest.mark.parametrize("is_connected", [True, False])
@pytest.mark.parametrize("work", [one_statement, one_transaction])
async def test_cancellation_at_any_moment_leaves_no_transaction_and_no_lock(
    settings: Settings,
    other: asyncpg.Connection,
    work: Callable[[Engine], Coroutine[Any, Any, None]],
    is_connected: bool,
) -> None:
    steps, has_finished = 0, False
    while not has_finished:
        # Without TLS, because asyncpg logs an error if it is canceled while it negotiates TLS.
        async with running(settings, "&sslmode=disable", database_pool_size=2) as engine:
            if is_connected:
                await pids(engine, 2)
            # Two of them work, and the third waits for one of their connections.
            tasks = [asyncio.create_task(work(engine)) for _ in range(3)]
            for _ in range(steps):
                await asyncio.sleep(0)
            has_finished = all(task.done() for task in tasks)
            for _ in range(2):
                for task in tasks:
                    task.cancel()
                await asyncio.sleep(0)
            ended = await asyncio.gather(*tasks, return_exceptions=True)

            assert {type(end) for end in ended} <= {asyncio.CancelledError, type(None)}
            assert len(await pids(engine, 2)) == 2
            await is_left_alone(other)
        steps += 1 + steps // 30
    assert steps > 5
