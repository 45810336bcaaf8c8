"""Clients that connect and then send or read as little as they can."""

import resource
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

from tests.rendering import cannot_run

FILES = 4_096  # that the test process may open
HEAD = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Slow: "


class SlowClients:
    """`silent` clients send nothing, `trickling` clients send a request head byte by byte.

    The rest send the request `unread` again and again, and never read a response.

    The seconds after which the service closed the last connection of a kind are in `gone_after`.
    """

    def __init__(
        self,
        port: int,
        silent: int,
        trickling: int = 0,
        not_reading: int = 0,
        unread: bytes = b"",
    ) -> None:
        self.gone_after: dict[str, float] = {}
        self.open: dict[str, list[socket.socket]] = {}
        self._counts = {"silent": silent, "trickling": trickling, "not reading": not_reading}
        self._port = port
        self._unread = unread
        self._over = Event()
        self._started = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        with enough_files():
            self._started = time.monotonic()
            for kind, count in self._counts.items():
                self.open[kind] = [self._connect(kind) for _ in range(count)]
            thread = Thread(target=self._go_on)
            thread.start()
            try:
                yield
            finally:
                self._over.set()
                thread.join()
                for clients in self.open.values():
                    for client in clients:
                        client.close()

    def count(self) -> int:
        return sum(map(len, self.open.values()))

    def wait_until_gone(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.count():
            assert time.monotonic() < deadline, {kind: len(all) for kind, all in self.open.items()}
            time.sleep(0.1)

    def _connect(self, kind: str) -> socket.socket:
        client = socket.socket()
        if kind == "not reading":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect(("127.0.0.1", self._port))
        client.setblocking(False)
        if kind == "trickling":
            client.send(HEAD)
        return client

    def _go_on(self) -> None:
        while not self._over.wait(0.25):
            for kind, clients in self.open.items():
                self.open[kind] = [each for each in clients if self._is_open(each, kind)]
                if clients and not self.open[kind]:
                    self.gone_after[kind] = time.monotonic() - self._started

    def _is_open(self, client: socket.socket, kind: str) -> bool:
        try:
            if kind == "trickling":
                client.send(b"x")
            elif kind == "not reading":
                with suppress(BlockingIOError):
                    client.send(self._unread)
            poll = select.poll()
            poll.register(client, select.POLLRDHUP)  # unread data does not matter
            if not poll.poll(0):
                return True
        except ConnectionError:
            pass
        client.close()
        return False


@contextmanager
def enough_files() -> Iterator[None]:
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < FILES:
        cannot_run(f"it needs {FILES} open files, and `ulimit -Hn` is {most}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before, FILES), most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))
