"""Clients that send or read too slowly are disconnected, and others are served meanwhile."""

import asyncio
import os
import re
import resource
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from unittest.mock import Mock

import httpx2
import pytest

from app.config import Settings
from app.main import create_app
from app.server import slow_clients
from app.server.http_protocol import HttpProtocol
from app.server.slow_clients import Awaited, connection_limit
from tests.conftest import serve
from tests.issuer import Issuer
from tests.sample_resource import PATH
from tests.tokens import token

pytestmark = pytest.mark.slow

GET = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSE = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
BREW = GET.replace(b"GET", b"BREW")  # h11 parses this and all later requests
POST = b"POST %s HTTP/1.1\r\nHost: x\r\n" % PATH.encode()
TRICKLED = GET[:4] + b"/" * 10_000
LARGE = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
TIMEOUT = 10  # seconds

Closings = list[dict[str, Any]]
Limits = dict[Awaited, float]
Connect = Callable[..., socket.socket]


class SmallBuffers(HttpProtocol):
    """Limit to a few kB what the kernel buffers for a client that does not read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        file = os.dup(transport.get_extra_info("socket").fileno())
        with socket.socket(fileno=file) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        super().connection_made(transport)


@contextmanager
def serving(settings: Settings, **options: Any) -> Iterator[Connect]:
    """Yield a function that connects with a small receive buffer, and sends the given packets."""
    with ExitStack() as stack:
        url = httpx2.URL(stack.enter_context(serve(create_app(settings), **options)))

        def connect(*packets: bytes) -> socket.socket:
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.settimeout(TIMEOUT)
            client.connect((url.host, url.port or 80))
            for packet in packets:
                client.sendall(packet)
            return client

        yield connect


@pytest.fixture(scope="module", autouse=True)
def _often() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slow_clients, "SWEEP_SECONDS", 0.02)
        yield


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> Limits:
    """Lift all limits. Each test sets the one it checks."""
    monkeypatch.setattr(slow_clients, "SECONDS", dict.fromkeys(Awaited, 1_000.0))
    return slow_clients.SECONDS


@pytest.fixture(autouse=True)
def closings(monkeypatch: pytest.MonkeyPatch) -> Closings:
    """Return a list to which each log line about closed connections is added."""
    lines: Closings = []
    log = Mock(warning=lambda _, **fields: lines.append(fields))
    monkeypatch.setattr(slow_clients, "log", log)
    return lines


@pytest.fixture(scope="module")
def service(settings: Settings) -> Iterator[Connect]:
    with serving(settings, http=SmallBuffers, timeout_keep_alive=100) as connect:
        yield connect


@pytest.fixture
def connect(service: Connect) -> Iterator[Connect]:
    """Yield a function that connects to the service that the tests share."""
    with ExitStack() as clients:
        yield lambda *packets: clients.enter_context(service(*packets))


def read_response(client: socket.socket) -> bytes:
    """Return one response. Its body must be a JSON object."""
    data = b""
    while not data.endswith(b"}"):
        data += client.recv(65536)
    return data


def read_until_closed(client: socket.socket) -> bytes:
    """Return all data until the connection is closed. Raises TimeoutError if it is not."""
    data = b""
    with suppress(ConnectionError):
        while chunk := client.recv(65536):
            data += chunk
    return data


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def statuses(data: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]


def seconds_until_closed(client: socket.socket, more: bytes = b"") -> float:
    """Send `more` byte by byte. Return after how many seconds the connection is closed."""
    started = time.monotonic()
    with suppress(ConnectionError):
        while time.monotonic() < started + TIMEOUT:
            if more:
                client.sendall(more[:1])
                more = more[1:]
            if select.select([client], [], [], 0.01)[0] and not client.recv(65536):
                break
    return time.monotonic() - started


@pytest.mark.parametrize(
    ("before", "more"),
    [([], b""), *((before, TRICKLED) for before in ([], [GET], [BREW], [GET, BREW]))],
    ids=["silent", "trickled", "after a request", "after one by h11", "after both"],
)
def test_connection_without_a_complete_head_is_closed_and_logged_once(
    connect: Connect, limits: Limits, closings: Closings, before: list[bytes], more: bytes
) -> None:
    client = connect()
    for request in before:
        client.sendall(request)
        assert read_response(client)
        time.sleep(0.05)
    limits[Awaited.HEAD] = 0.2

    seconds = seconds_until_closed(client, more)

    assert 0.15 < seconds < 2
    [line] = closings
    assert line["reason"] == "the request head was not complete in time"
    assert (line["count"], line["most_from"]) == (1, "127.0.0.1")


def test_closing_many_connections_takes_few_lines(
    connect: Connect, limits: Limits, closings: Closings
) -> None:
    clients = [connect() for _ in range(50)]

    limits[Awaited.HEAD] = 0.1

    assert [read_until_closed(client) for client in clients] == [b""] * 50
    assert sum(line["count"] for line in closings) == 50
    assert len(closings) < 10


@pytest.mark.slow
@pytest.mark.parametrize("request_sent", [GET, BREW], ids=["httptools", "h11"])
def test_idle_connection_is_closed_after_keep_alive_without_a_log_line(
    settings: Settings,
    closings: Closings,
    request_sent: bytes,
) -> None:
    with serving(settings, timeout_keep_alive=0.3) as connect:
        client = connect(request_sent)
        assert read_response(client)
        seconds = seconds_until_closed(client)

    assert 0.25 < seconds < 2
    assert closings == []


def test_idle_connection_with_an_unread_request_is_not_closed() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = Mock()
        connection.transport.is_closing.return_value = False
        connection.transport.get_extra_info.return_value = ours

        idle = slow_clients._without_data([connection])
        theirs.sendall(GET)
        after_request = slow_clients._without_data([connection])
        connection.transport.is_closing.return_value = True
        closing = slow_clients._without_data([connection])

    assert idle == closing == [connection]
    assert after_request == []


@pytest.mark.parametrize(
    ("head", "is_last"),
    [
        (b"Content-Length: 60000\r\n\r\n", False),
        (b"Content-Length: 66000\r\n\r\n", True),
        (b"Content-Length: 60000\r\nConnection: close\r\n\r\n", True),
        (b"Transfer-Encoding: chunked\r\n\r\n", True),
    ],
)
def test_body_trickled_after_the_response_does_not_keep_the_connection_open(
    connect: Connect, limits: Limits, closings: Closings, head: bytes, is_last: bool
) -> None:
    client = connect(POST + head)
    response = read_response(client)
    limits[Awaited.BODY] = 0.2

    with suppress(ConnectionError):
        for _ in range(500):
            client.sendall(b"x")
            if closings:
                break
            time.sleep(0.01)

    assert read_until_closed(client) == b""
    assert statuses(response) == [401]
    assert (b"\r\nconnection: close\r\n" in response.lower()) is is_last
    assert [line["reason"] for line in closings] == ["the body continues after the response"]


def test_client_that_sends_a_large_body_gets_the_response(
    connect: Connect, closings: Closings
) -> None:
    client = connect(POST + b"Content-Length: 900000\r\n\r\n")
    time.sleep(0.1)  # the response has been sent before the body

    client.sendall(b"x" * 900_000)

    assert statuses(read_until_closed(client)) == [401]
    assert closings == []


def test_endless_body_after_the_response_is_cut_off(connect: Connect, closings: Closings) -> None:
    client = connect(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    assert statuses(read_until_closed(client)) == [401]

    sent = 0
    with suppress(ConnectionError):
        while sent < 100_000_000:
            sent += client.send(b"x" * 65536)
    wait_until(lambda: bool(closings))

    assert sent < 10_000_000
    assert [line["reason"] for line in closings] == ["the body continues after the response"]


def test_request_after_a_rejected_expectation_is_not_read_as_its_body(connect: Connect) -> None:
    client = connect(POST + b"Content-Length: 33\r\nExpect: 100-continue\r\n\r\n")
    response = read_response(client)
    client.sendall(GET)

    assert b"connection: close" in response.lower()
    assert statuses(response + read_until_closed(client)) == [401]


def test_expected_body_is_read_after_100_continue(connect: Connect, issuer: Issuer) -> None:
    signed = b"Authorization: Bearer %s\r\n" % token(issuer).encode()
    kind = b"Content-Type: application/json\r\nExpect: 100-continue\r\n"
    client = connect(POST + signed + kind + b"Content-Length: 2\r\n\r\n")
    first = client.recv(65536)
    client.sendall(b"[]")

    assert statuses(first) == [100]
    assert statuses(read_response(client)) == [422]


@pytest.mark.slow
@pytest.mark.parametrize("before", [b"", BREW], ids=["", "h11"])
@pytest.mark.parametrize("count", [1, 30])
def test_client_that_does_not_read_is_disconnected(
    connect: Connect, limits: Limits, closings: Closings, before: bytes, count: int
) -> None:
    """With `count=1`, the service closes the connection before it has sent the whole response."""
    limits[Awaited.READING] = 0.3
    last = LARGE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    client = connect(before, LARGE * (count - 1) + last)

    wait_until(lambda: bool(closings))

    assert [line["reason"] for line in closings] == ["the client does not read"]
    assert len(read_until_closed(client)) < 30_000


@pytest.mark.slow
def test_client_that_reads_slowly_gets_complete_responses(
    connect: Connect, limits: Limits, closings: Closings
) -> None:
    limits[Awaited.READING] = 0.2
    client = connect(LARGE * 3 + CLOSE)
    started, data = time.monotonic(), b""

    while chunk := client.recv(2_000):
        data += chunk
        time.sleep(0.02)

    assert statuses(data) == [200] * 4
    assert time.monotonic() > started + 2 * limits[Awaited.READING]
    assert closings == []


def test_oldest_silent_connections_are_closed_first_when_there_are_too_many(
    settings: Settings,
    closings: Closings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slow_clients, "connection_limit", lambda: 10)
    with serving(settings, timeout_keep_alive=100) as connect:
        good = connect(GET)
        assert read_response(good)
        oldest = [connect() for _ in range(5)]
        time.sleep(0.05)
        silent = oldest + [connect() for _ in range(25)]
        probe = connect(GET)

        assert statuses(read_response(probe)) == [200]
        good.sendall(GET)
        assert statuses(read_response(good)) == [200]
        open_ones = [client for client in silent if not select.select([client], [], [], 0)[0]]
        time.sleep(0.1)

    assert not set(open_ones) & set(oldest)
    assert 6 <= len(open_ones) <= 9
    assert {line["reason"] for line in closings} == {"too many connections"}
    assert sum(line["count"] for line in closings) == 30 - len(open_ones)


def test_connection_beyond_the_limit_is_closed_while_all_others_are_busy(
    settings: Settings,
    issuer: Issuer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slow_clients, "connection_limit", lambda: 3)
    signed = b"Authorization: Bearer %s\r\n" % token(issuer).encode()
    upload = POST + signed + b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n"
    with serving(settings) as connect:
        busy = [connect(upload) for _ in range(3)]
        time.sleep(0.1)

        assert read_until_closed(connect()) == b""
        for client in busy:
            client.sendall(b"[]")
            assert statuses(read_response(client)) == [422]


def test_connections_that_discard_a_body_are_closed_at_shutdown(
    settings: Settings,
) -> None:
    with ExitStack() as clients, serving(settings) as connect:
        # The copy stays open until the service has stopped.
        client = clients.enter_context(socket.socket(fileno=os.dup(connect().fileno())))
        client.settimeout(TIMEOUT)
        client.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        assert statuses(read_response(client)) == [401]
        started = time.monotonic()

    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("files", "most", "raised", "limit"),
    [
        (1_024, 1_048_576, 8_192, 4_096),
        (1_024, 4_000, 4_000, 3_000),
        (1_024, 1_024, 1_024, 768),
        (1_024, resource.RLIM_INFINITY, 8_192, 4_096),
        (20_000, 20_000, None, 4_096),
    ],
)
def test_limit_of_open_files_is_raised_as_far_as_useful(
    monkeypatch: pytest.MonkeyPatch, files: int, most: int, raised: int | None, limit: int
) -> None:
    new: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, most))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: new.append(limits))

    assert connection_limit() == limit
    assert new == ([(raised, most)] if raised else [])


def test_limit_of_open_files_that_cannot_be_raised_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_024, 1_048_576))
    monkeypatch.setattr(resource, "setrlimit", Mock(side_effect=ValueError))

    assert connection_limit() == 768
