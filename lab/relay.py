"""A relay in front of a service, which cuts connections where a test says so."""

import asyncio
import re
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from threading import Thread

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST instead of FIN


class Cut(Enum):
    IN_REQUEST = "in the request"
    AFTER_REQUEST = "after the request"
    BEFORE_RESPONSE = "before the response"
    """The service has sent its response, which does not reach the client."""
    IN_RESPONSE = "in the response"


@dataclass(frozen=True)
class Fate:
    """Where the connection is cut: `share`, below 1, of a message gets through."""

    cut: Cut
    share: float = 0.5
    reset: bool = False


@dataclass(frozen=True)
class Exchange:
    """A complete request, and the complete response that the service sent to it."""

    request: bytes
    response: bytes

    @property
    def status(self) -> int:
        return int(self.response.split(b" ", 2)[1])

    @property
    def body(self) -> bytes:
        return self.response.partition(b"\r\n\r\n")[2]


def header(message: bytes, name: str) -> bytes:
    """Return the value of a header, empty if there is none."""
    head = message.partition(b"\r\n\r\n")[0]
    return b"".join(re.findall(rb"(?im)^%b: *(.*?)\r?$" % name.encode(), head))


class Relay:
    """Relays HTTP/1.1 to a port of this machine; `decide` sees each request before it is sent.

    A connection to the service carries one request, so that the service's keep-alive timeout does
    not cut connections, too.
    """

    def __init__(self, service_port: int, decide: Callable[[bytes], Fate | None]) -> None:
        self.decide = decide
        self.exchanges: list[Exchange] = []
        self.cuts: Counter[Cut] = Counter()
        self.failures = 0
        """Requests without a response because the service was not reachable."""
        self._service_port = service_port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._listener.getsockname()[1]

    @contextmanager
    def running(self) -> Iterator["Relay"]:
        loop = asyncio.new_event_loop()
        stopped = asyncio.Event()
        thread = Thread(target=loop.run_until_complete, args=(self._serve(stopped),))
        thread.start()
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(stopped.set)
            thread.join()
            loop.close()

    async def _serve(self, stopped: asyncio.Event) -> None:
        connections: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.add(task := asyncio.create_task(self._relay(reader, writer)))
            task.add_done_callback(connections.discard)

        server = await asyncio.start_server(connected, sock=self._listener)
        await stopped.wait()
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _relay(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        reset = False
        try:
            while True:
                request = await _message(client)
                fate = self.decide(request)
                try:
                    response = await self._ask(request, fate)
                except (OSError, asyncio.IncompleteReadError):
                    self.failures += 1
                    return
                if fate:
                    self.cuts[fate.cut] += 1
                    reset = fate.reset
                    if fate.cut is Cut.IN_RESPONSE:
                        to_client.write(_part(response, fate))
                        await to_client.drain()
                    return
                to_client.write(response)
                await to_client.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # The client has disconnected.
        finally:
            _close(to_client, reset)

    async def _ask(self, request: bytes, fate: Fate | None) -> bytes:
        """Return the service's response. It is empty if the connection is cut before."""
        service, to_service = await asyncio.open_connection("127.0.0.1", self._service_port)
        reset = fate is not None and fate.reset
        try:
            cut = fate and fate.cut
            to_service.write(_part(request, fate) if cut is Cut.IN_REQUEST else request)
            await to_service.drain()
            if cut in (Cut.IN_REQUEST, Cut.AFTER_REQUEST):
                return b""
            response = await _message(service)
            self.exchanges.append(Exchange(request, response))
            return response
        finally:
            _close(to_service, reset)


def _part(message: bytes, fate: Fate) -> bytes:
    return message[: int(len(message) * fate.share)]


def _close(writer: asyncio.StreamWriter, reset: bool) -> None:
    if reset:
        with suppress(OSError):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return head + (await reader.readexactly(int(length[1])) if length else b"")
