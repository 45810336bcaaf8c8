"""Clients that send without end: the service uses little memory, and serves other clients."""

import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from lab.faults.client import LIVE
from lab.faults.conftest import Figures, on_sqlite
from lab.faults.processes import resident_bytes
from lab.faults.service import Service

GET = f"GET {LIVE} HTTP/1.1\r\nHost: x\r\n"
CONNECTIONS = 30
SECONDS = 3.0
LIMIT = 24 << 20  # bytes, of all connections together

pytestmark = on_sqlite


@contextmanager
def clients(service: Service, count: int) -> Iterator[list[socket.socket]]:
    """Yield `count` connections that do not block when the service does not read."""
    with ExitStack() as stack:
        opened = [
            stack.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=10))
            for _ in range(count)
        ]
        for client in opened:
            client.setblocking(False)
        yield opened


def send_without_end(opened: list[socket.socket], start: bytes, more: bytes) -> tuple[int, int]:
    """Send for SECONDS. Return the number of bytes sent, and of connections still open."""
    sent, waiting = 0, dict.fromkeys(opened, start)
    until = time.monotonic() + SECONDS
    while waiting and time.monotonic() < until:
        for client in select.select([], list(waiting), [], 0.1)[1]:
            try:
                written = client.send(waiting[client])
            except ConnectionError:
                del waiting[client]
                continue
            sent += written
            waiting[client] = waiting[client][written:] or more
    return sent, len(waiting)


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (GET, "X-Filler: y\r\n" * 1_000),
        (GET.replace("GET", "BREW"), "X-Filler: y\r\n" * 1_000),
        (GET, "x" * 100_000),
        (f"{GET}Transfer-Encoding: chunked\r\n\r\n", "1;" + "x" * 100_000),
        (f"{GET}Transfer-Encoding: chunked\r\n\r\n0\r\n", "X-Filler: y\r\n" * 1_000),
    ],
    ids=["headers", "headers of h11", "one header", "chunk extension", "trailers"],
)
def test_endless_request_is_rejected_with_bounded_memory(
    service: Service, figures: Figures, start: str, more: str
) -> None:
    before = resident_bytes(service.pid)

    with clients(service, CONNECTIONS) as opened:
        sent, still_open = send_without_end(opened, start.encode(), more.encode())
        growth = resident_bytes(service.pid) - before
        answer = service.get(LIVE)

    figures(sent=f"{sent >> 20} MiB", growth=f"{growth >> 20} MiB", still_open=still_open)
    assert still_open == 0
    assert growth < LIMIT
    assert answer.status == 200


@pytest.mark.parametrize("method", ["GET", "BREW"])
def test_client_that_never_reads_takes_bounded_memory(
    service: Service, figures: Figures, method: str
) -> None:
    before = resident_bytes(service.pid)
    request = f"{GET}\r\n".replace("GET", method).encode()

    with clients(service, CONNECTIONS) as opened:
        sent, _ = send_without_end(opened, request, request * 1_000)
        growth = resident_bytes(service.pid) - before
        answer = service.get(LIVE)

    figures(sent=f"{sent >> 20} MiB", growth=f"{growth >> 20} MiB")
    assert growth < LIMIT
    assert answer.status == 200


def test_incomplete_heads_take_bounded_memory(service: Service, figures: Figures) -> None:
    before = resident_bytes(service.pid)
    head = GET.encode() + b"X: " + b"y" * 15_000

    with clients(service, 300) as opened:
        for client in opened:
            client.send(head)
        time.sleep(1)
        growth = resident_bytes(service.pid) - before
        answer = service.get(LIVE)

    figures(growth=f"{growth >> 20} MiB")
    assert growth < LIMIT
    assert answer.status == 200
