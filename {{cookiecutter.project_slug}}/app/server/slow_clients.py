"""Close connections of clients that send or read too slowly, and limit how many there are.

A sweep checks once per second which action of the client each connection waits for. Requests need
no timers, not even for keep-alive, so they cost nothing extra.
"""

import asyncio
import selectors
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterable, MutableMapping
from contextlib import suppress
from enum import IntEnum
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import structlog
from uvicorn.protocols.http.flow_control import CLOSE_HEADER, FlowControl
from uvicorn.server import ServerState

MAX_CONNECTIONS = 4_096  # 45 MB if all are idle, 90 MB if all have sent most of a large head
MAX_REST_BYTES = 64 * 1024  # of a body after the response, if the connection is to be reused
MAX_DISCARDED_BYTES = 1 << 20  # of a body after the last response
SWEEP_SECONDS = 1.0

log = structlog.get_logger()


class Awaited(IntEnum):
    """The next action of a client. Excess connections are closed in this order."""

    HEAD = 0
    BODY = 1  # the rest of the body, after the response is complete
    READING = 2
    NEXT_REQUEST = 3


SECONDS = {Awaited.HEAD: 10.0, Awaited.BODY: 5.0, Awaited.READING: 20.0}
REASONS = {
    Awaited.HEAD: "the request head was not complete in time",
    Awaited.BODY: "the body continues after the response",
    Awaited.READING: "the client does not read",
}
TOO_MANY = "too many connections"


class Watched(ABC, asyncio.Protocol):
    """A connection, with the attributes that `SlowClients` needs."""

    cycle: Any = None  # the newest request
    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    client: tuple[str, int] | None
    server_state: ServerState
    connections: set[Any]
    timeout_keep_alive: int

    since: float  # when `stage` was first seen; for a new connection, when it was made
    stage: tuple[object, ...] = (Awaited.HEAD, None, False)

    @abstractmethod
    def awaited(self) -> Awaited | None:
        """Return the next action of the client, or None while the service has to act."""
        ...


class Connection(Watched, ABC):
    """The base class of both HTTP protocols."""

    flow: FlowControl

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.since = self.loop.time()
        SlowClients.of(self).admit(self)

    def awaited(self) -> Awaited | None:
        if self.transport.is_closing() or self.flow.write_paused:
            return Awaited.READING
        if self.cycle and not self.cycle.response_complete:
            return None
        if self.is_body_missing():
            return Awaited.BODY
        return Awaited.NEXT_REQUEST if self.cycle and not self.has_part_of_head() else Awaited.HEAD

    @abstractmethod
    def is_body_missing(self) -> bool: ...

    @abstractmethod
    def has_part_of_head(self) -> bool: ...

    @abstractmethod
    def announces_closing(self) -> bool:
        """Return whether too much of the body is missing to reuse the connection."""
        ...

    def allow_early_response(self) -> None:
        """Close properly after a response that starts before the whole body has arrived.

        The response has `Connection: close`, and the rest of the body is discarded. If the
        connection were closed with unread data, the client would get a reset, perhaps before it
        has read the response (RFC 9112, 9.6).
        """
        cycle, send = self.cycle, self.cycle.send

        async def send_and_announce(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and self.announces_closing():
                message = {**message, "headers": [*message["headers"], CLOSE_HEADER]}
            await send(message)

        cycle.send = send_and_announce
        cycle.transport = _Transport(self)


class _Transport:
    """The transport for a request: before it closes, a limited part of the body is discarded."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.write = connection.transport.write
        self.is_closing = connection.transport.is_closing

    def close(self) -> None:
        if self._connection.is_body_missing() and not self.is_closing():
            Discarding(self._connection)
        else:
            self._connection.transport.close()


class Discarding(Watched):
    """A connection after its last response, until the client has closed it too."""

    def __init__(self, before: Connection) -> None:
        self.transport, self.loop, self.client = before.transport, before.loop, before.client
        self.server_state, self.connections = before.server_state, before.connections
        self.since = self.loop.time()
        self.stage = (Awaited.BODY, None, False)
        self._bytes_left = MAX_DISCARDED_BYTES
        self.connections.discard(before)
        self.connections.add(self)
        self.transport.set_protocol(self)
        before.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def awaited(self) -> Awaited:
        return Awaited.READING if self.transport.is_closing() else Awaited.BODY

    def data_received(self, data: bytes) -> None:
        self._bytes_left -= len(data)
        if self._bytes_left < 0 and not self.transport.is_closing():
            SlowClients.of(self).close([self], REASONS[Awaited.BODY])

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        self.connections.discard(self)

    def shutdown(self) -> None:
        self.transport.close()


class SlowClients:
    """The connections of one server."""

    _of_servers: ClassVar[WeakKeyDictionary[ServerState, "SlowClients"]] = WeakKeyDictionary()

    @classmethod
    def of(cls, connection: Watched) -> "SlowClients":
        found = cls._of_servers.get(connection.server_state)
        if found is None:
            found = cls._of_servers[connection.server_state] = cls(connection)
        return found

    def __init__(self, first: Watched) -> None:
        self.limit = connection_limit()
        self._loop = first.loop
        self._connections = first.connections
        self._is_sweeping = False
        self._closed: dict[str, Counter[str]] = defaultdict(Counter)

    def admit(self, connection: Watched) -> None:
        """Watch a new connection. Close others, the oldest first, if there are too many now."""
        if not self._is_sweeping:
            self._is_sweeping = True
            self._loop.call_later(SWEEP_SECONDS, self._sweep)
        if len(self._connections) > self.limit:
            self._make_room_for(connection)

    def close(self, connections: Iterable[Watched], reason: str) -> None:
        for connection in connections:
            self._closed[reason][connection.client[0] if connection.client else ""] += 1
            # Not `close()`, which could wait forever for a client that does not read.
            connection.transport.abort()
            self._connections.discard(connection)

    def _watched(self) -> list[Watched]:
        return [each for each in self._connections if isinstance(each, Watched)]

    def _make_room_for(self, new: Watched) -> None:
        waiting = [
            (awaited, each.since, id(each), each)
            for each in self._watched()
            if each is not new and (awaited := each.awaited()) is not None
        ]
        # Close several at once, because finding them takes a millisecond.
        oldest = [each for *_, each in sorted(waiting)[: 1 + self.limit // 20]]
        self.close(_without_data(oldest) or [new], TOO_MANY)

    def _sweep(self) -> None:
        self._is_sweeping = bool(self._connections)
        if self._is_sweeping:
            self._loop.call_later(SWEEP_SECONDS, self._sweep)
        now = self._loop.time()
        idle: list[Watched] = []
        late: defaultdict[str, list[Watched]] = defaultdict(list)
        for each in self._watched():
            awaited = each.awaited()
            unread = awaited is Awaited.READING and each.transport.get_write_buffer_size()
            stage = (awaited, each.cycle, unread)
            if stage != each.stage:
                each.stage, each.since = stage, now
            elif awaited is Awaited.NEXT_REQUEST:
                if now - each.since >= each.timeout_keep_alive:
                    idle.append(each)
            elif awaited is not None and now - each.since >= SECONDS[awaited]:
                late[REASONS[awaited]].append(each)
        for each in _without_data(idle):
            each.transport.close()
        for reason, connections in late.items():
            self.close(connections, reason)
        self._log()

    def _log(self) -> None:
        """Write one line per reason and second, however many connections were closed."""
        for reason, addresses in self._closed.items():
            [(address, _)] = addresses.most_common(1)
            log.warning(
                "connections closed",
                reason=reason,
                count=addresses.total(),
                addresses=len(addresses),
                most_from=address,
            )
        self._closed.clear()


def _without_data(connections: list[Watched]) -> list[Watched]:
    """Return the connections without unread data.

    A request may have arrived that the event loop has not read yet. If its connection were closed,
    the client would not know whether it was handled.
    """
    if not connections:
        return []
    # The default selector opens a file, and the process may have none left.
    with getattr(selectors, "PollSelector", selectors.SelectSelector)() as selector:
        for each in connections:
            if not each.transport.is_closing():
                socket = each.transport.get_extra_info("socket")
                selector.register(socket, selectors.EVENT_READ, each)
        readable = {key.data for key, _ in selector.select(0)}
    return [each for each in connections if each not in readable]


def connection_limit() -> int:
    """Raise the limit of open files, if useful. Return the resulting number of connections.

    A quarter of the files is reserved for the database and for connections not accepted yet.
    """
    files = 1_024
    with suppress(ImportError, OSError, ValueError):
        import resource

        files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 2 * MAX_CONNECTIONS
        if files < wanted:
            raised = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, most))
            files = raised
    return min(MAX_CONNECTIONS, files * 3 // 4)
