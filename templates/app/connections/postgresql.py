"""The pool of connections to PostgreSQL, and how a connection is opened.

asyncpg's own pool takes 40 µs more for each statement: it wraps each connection in a proxy, and
resets it after each use.
"""

import asyncio
import random
import select
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import starmap
from math import inf
from time import monotonic
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from app.database_url import Target, Tls

MAX_WAITING = 1_000
PING_AFTER = 30  # seconds: firewalls and suspended servers drop idle connections silently
PING_TIMEOUT = 0.5  # seconds
CANCEL_TIMEOUT = 1  # seconds within which a server must confirm that it has canceled a statement
# After these errors all connections are replaced at their next use: the server is gone, or has
# become a replica.
SERVER_CHANGED = (
    asyncpg.AdminShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.CrashShutdownError,
    asyncpg.ReadOnlySQLTransactionError,
)
# After these errors a statement may still be running.
INTERRUPTIONS = (TimeoutError, asyncio.CancelledError, GeneratorExit)
# After these errors another host of the URL may still be the primary. Refused credentials are not
# tried elsewhere, as in libpq.
TRY_NEXT_HOST = (
    OSError,
    UnicodeError,  # a name that DNS cannot have, such as a..b
    asyncpg.InsufficientResourcesError,  # too many connections
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server does not use PostgreSQL's protocol
    asyncpg.OperatorInterventionError,  # the server is starting up or shutting down
    asyncpg.PostgresConnectionError,  # a proxy without a server closes the connection
    asyncpg.ReadOnlySQLTransactionError,
)
HEAD_START = 0.25  # seconds until the next host is tried in parallel
# For each requirement: a statement that returns a row if the server meets it, and the error if not.
IF_PRIMARY = "SELECT 1 WHERE NOT pg_is_in_recovery()"
IF_WRITABLE = "SELECT 1 WHERE current_setting('transaction_read_only') = 'off'"
FOUND = "SELECT 1"  # the status that the driver returns, with the number of rows
REQUIREMENTS = {
    "primary": (IF_PRIMARY, "the server is a replica"),
    "read-write": (IF_WRITABLE, "the server is a replica or read-only"),
}

Host = tuple[str, int]


class Slot:
    """A place in the pool, with or without a connection."""

    def __init__(self) -> None:
        self.connection: Any = None
        self.used_at = 0.0
        self.generation = 0
        self._incoming = select.poll()

    def is_ready(self, generation: int) -> bool:
        """Return whether there is a connection that is not known to be lost or outdated."""
        return (
            self.generation == generation
            and self.connection is not None
            and not self.connection.is_closed()
            # Between statements, a server sends data only to end the connection. The data may have
            # arrived before the event loop has read it.
            and not self._incoming.poll(0)
        )

    async def connect(self, generation: int, opening: Awaitable[Any]) -> None:
        """Replace the connection with the one that `opening` returns."""
        if self.connection is not None:
            self.connection.terminate()
            self.connection = None
        self.generation = generation
        self.connection = await opening
        # asyncpg does not make its socket public.
        socket = self.connection._transport.get_extra_info("socket")
        self._incoming = select.poll()
        self._incoming.register(socket.fileno(), select.POLLIN)


class Pool:
    """Slots for connections. The most recently used slot is acquired first.

    A slot connects when it is needed, and reconnects if its connection was lost while idle.
    """

    def __init__(self, size: int, timeout: float, connect: Callable[[float], Awaitable[Any]]):
        """`connect` is called with its timeout in seconds."""
        self._timeout = timeout
        self._connect = connect
        self._slots = [Slot() for _ in range(size)]
        self._free = self._slots.copy()
        self._waiting: deque[tuple[float, asyncio.Future[Slot]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._generation = 0  # connections of earlier generations are not used again
        self._doubted_at = -inf  # connections that were idle then are tested before their next use

    async def acquire(self) -> Slot:
        """Return a slot with a connection. Waiting and connecting share the timeout."""
        now = monotonic()
        slot = self._free.pop() if self._free else await self._wait(now + self._timeout)
        try:
            tested_until = max(now - PING_AFTER, self._doubted_at)
            if not slot.is_ready(self._generation) or (
                slot.used_at < tested_until and not await self._responds(slot)
            ):
                opening = self._connect(now + self._timeout - monotonic())
                await slot.connect(self._generation, opening)
        except BaseException as error:
            self.release(slot, error)
            raise
        return slot

    def release(self, slot: Slot, error: BaseException | None = None) -> None:
        """Take back a slot. Close its connection if a statement or transaction may be open."""
        slot.used_at = monotonic()
        connection = slot.connection
        if connection and isinstance(error, SERVER_CHANGED):
            self._distrust(slot)
        if (
            not connection
            or connection.is_closed()
            or not (isinstance(error, INTERRUPTIONS) or connection.is_in_transaction())
        ):
            self._hand_over(slot)
            return
        if isinstance(error, TimeoutError):
            self._doubted_at = slot.used_at  # the server may not respond
        # In a separate task, because the caller may be canceled while it waits.
        slot.connection = None
        task = asyncio.create_task(self._close(slot, connection))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close all connections. If the server hangs, this may hang, too."""
        connections = [slot.connection for slot in self._slots if slot.connection]
        closing = [connection.close() for connection in connections]
        await asyncio.gather(*closing, *self._closing, return_exceptions=True)

    def _hand_over(self, slot: Slot) -> None:
        while self._waiting:
            _, waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(slot)
                return
        self._free.append(slot)

    def _distrust(self, slot: Slot) -> None:
        """Replace this connection and all older ones, each at its next use."""
        self._generation = max(self._generation, slot.generation + 1)

    async def _wait(self, until: float) -> Slot:
        """Wait for a free slot, first come, first served."""
        if len(self._waiting) >= MAX_WAITING:
            raise TimeoutError(f"{MAX_WAITING} statements are already waiting for a connection")
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Slot] = loop.create_future()
        self._waiting.append((until, waiter))
        # One timer for the whole queue: a timer takes longer than everything else here.
        if not self._timer:
            self._timer = loop.call_later(self._timeout, self._expire)
        try:
            return await waiter
        except BaseException:
            with suppress(ValueError):
                self._waiting.remove((until, waiter))
            if not waiter.cancelled() and not waiter.exception():
                self._hand_over(waiter.result())  # a slot was assigned, but the caller was canceled
            raise

    def _expire(self) -> None:
        """Fail the waiters at the head of the queue that have waited too long."""
        self._timer = None
        while self._waiting:
            until, waiter = self._waiting[0]
            if (seconds := until - monotonic()) > 0:
                self._timer = asyncio.get_running_loop().call_later(seconds, self._expire)
                return
            self._waiting.popleft()
            with suppress(asyncio.InvalidStateError):  # the caller has just been canceled
                waiter.set_exception(TimeoutError("no connection became free in time"))

    async def _responds(self, slot: Slot) -> bool:
        try:
            await slot.connection.execute("SELECT 1", timeout=PING_TIMEOUT)
        except Exception:
            self._distrust(slot)  # the other idle connections are probably lost, too
            return False
        return True

    async def _close(self, slot: Slot, connection: Any) -> None:
        """Close the connection and release the slot, once the server has stopped the statement.

        Otherwise a statement that waits for a lock could run long after its caller was canceled.
        """
        try:
            async with asyncio.timeout(CANCEL_TIMEOUT):
                await connection.close()  # waits until the server confirms
        except Exception:
            self._distrust(slot)  # the server does not respond
        finally:
            self._hand_over(slot)


class Connector:
    """Opens connections to the primary: the one server among the hosts of a URL that can write.

    Hosts are tried in order. If a host fails, the next one is tried at once. If it does not
    respond, the next one is tried after a head start, as in RFC 8305. The first suitable server is
    used.
    """

    def __init__(self, target: Target, **options: Any) -> None:
        self._target = target
        self._arguments = {**target.arguments, **options}
        self._failed: set[Host] = set()  # hosts whose last attempt failed: tried last
        self._lookups: dict[str, asyncio.Task[Exception | None]] = {}

    async def connect(self, seconds: float) -> asyncpg.Connection:
        """Return a connection to the primary.

        Raises a ConnectionError that names each host that was tried and its error.
        """
        waiting = self._hosts_in_order()
        head_start = min(HEAD_START, seconds / 2 / len(waiting))
        attempts: dict[asyncio.Task[asyncpg.Connection], Host] = {}
        failures: dict[Host, BaseException] = {}
        try:
            async with asyncio.timeout(seconds):
                while waiting or attempts:
                    if waiting:
                        host = waiting.pop(0)
                        attempts[asyncio.create_task(self._connect_to(*host))] = host
                    done, _ = await asyncio.wait(
                        attempts,
                        timeout=head_start if waiting else None,
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    for task in done:
                        host = attempts.pop(task)
                        if not (error := task.exception()):
                            self._failed |= {*failures, *attempts.values()}
                            self._failed.discard(host)
                            return task.result()
                        failures[host] = error
                        if not isinstance(error, TRY_NEXT_HOST):
                            waiting.clear()
        except TimeoutError as timeout:
            failures |= dict.fromkeys(attempts.values(), timeout)
        finally:
            for task in attempts:
                task.add_done_callback(_discard)
                task.cancel()
        self._failed |= {*failures}
        raise ConnectionError("; ".join(starmap(_reason, failures.items())))

    def _hosts_in_order(self) -> list[Host]:
        hosts = [*dict.fromkeys(self._target.hosts)]
        if self._target.in_random_order:
            random.shuffle(hosts)
        return sorted(hosts, key=self._failed.__contains__)

    async def _connect_to(self, host: str, port: int) -> asyncpg.Connection:
        """Return a connection to this host. Raises an error if it is not the primary."""
        async with asyncio.timeout(self._target.host_timeout):
            if len(self._target.hosts) > 1 and not host.startswith("/"):
                await self._look_up(host)
            connection = await _connect(
                self._target.tls,
                host=host,
                port=port,
                timeout=None,
                target_session_attrs="any",
                # Not None: then asyncpg would look for a password itself.
                password=self._target.password_for(host, port) or "",
                **self._arguments,
            )
            try:
                # asyncpg would check the parameters that the server has reported, but those of
                # PgBouncer may be from before a failover. `execute` sends a single message, which
                # poolers need.
                statement, reason = REQUIREMENTS[self._target.requirement]
                if await connection.execute(statement) != FOUND:
                    raise asyncpg.ReadOnlySQLTransactionError(reason)
            except BaseException:
                connection.terminate()
                raise
            return connection

    async def _look_up(self, name: str) -> None:
        """Wait until the name has been resolved.

        A lookup that hangs occupies one of the event loop's few threads, which are also needed for
        other names. So only one lookup of each name runs at a time.
        """
        if name not in self._lookups:
            self._lookups[name] = asyncio.create_task(self._resolve(name))
        lookup = self._lookups[name]
        await asyncio.wait([lookup])  # unlike `await lookup`, this does not cancel it
        if error := lookup.result():
            raise error

    async def _resolve(self, name: str) -> Exception | None:
        try:
            await asyncio.get_running_loop().getaddrinfo(name, None)
        except (OSError, UnicodeError) as error:
            return error  # asyncio would log an exception that no caller retrieves
        finally:
            del self._lookups[name]
        return None


def _discard(task: asyncio.Task[asyncpg.Connection]) -> None:
    """Close the connection if the task opened one before it was canceled."""
    if not task.cancelled() and not task.exception():
        task.result().terminate()


def _reason(host: Host, error: BaseException) -> str:
    name, port = host
    # If the role may not connect, PostgreSQL names the missing privilege only in `detail`.
    parts = (str(error) or "no response in time", getattr(error, "detail", None) or "")
    reason = " ".join(part.partition("\n")[0] for part in parts).strip()
    return f"{name}:{port}: {type(error).__name__}: {reason}"


async def _connect(tls: Sequence[Tls], **arguments: Any) -> asyncpg.Connection:
    """Connect with TLS, without TLS, or try both, in the order that `sslmode` specifies."""
    first, *others = tls
    try:
        return await asyncpg.connect(ssl=first, **arguments)
    except (OSError, asyncpg.InvalidAuthorizationSpecificationError) as error:
        if not others or isinstance(error, TimeoutError):
            raise
        try:
            return await asyncpg.connect(ssl=others[0], **arguments)
        except asyncpg.InvalidAuthorizationSpecificationError as second:
            # "Wrong password" is a more useful error than "no access without TLS".
            raise error if isinstance(error, asyncpg.InvalidPasswordError) else second from None
