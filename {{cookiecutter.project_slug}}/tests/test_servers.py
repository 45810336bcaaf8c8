"""HTTP is parsed strictly and identically, whichever command starts the service."""

import importlib.util
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import httpx2
import pytest
import uvicorn

from app.config import Settings
from app.main import create_app
from tests.conftest import serve
from tests.issuer import Issuer
from tests.sample_resource import PATH, VALUES
from tests.test_lifecycle import running
from tests.tokens import token

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("service")]

UVICORN = "uvicorn --factory app.main:create_app --port {port}"
COMMANDS = [
    ("app", 1),
    ("app", 2),
    (UVICORN, 1),
    (f"{UVICORN} --workers 2", 1),
    *((f"{UVICORN} --http {parser}", 1) for parser in ("httptools", "h11")),
]
IN_PROCESS = pytest.param(None, id="in this process")
STARTED = [
    pytest.param(command, id=f"{command[0]}, {command[1]}", marks=pytest.mark.slow)
    for command in COMMANDS
]
BODY = json.dumps(VALUES).encode()
JSON = "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"
CLOSE = "Connection: close"
LENGTH = f"Content-Length: {len(BODY)}"


@pytest.fixture(scope="module", params=[IN_PROCESS, *STARTED])
def address(
    request: pytest.FixtureRequest, running_service: str, settings: Settings
) -> Iterator[tuple[str, int]]:
    """Yield the host and port of the service, for each way to start it."""
    if request.param is None:
        url = httpx2.URL(running_service)
        yield url.host, url.port or 80
        return
    command, workers = request.param
    with running(settings, command, workers=workers, drain_seconds=0) as process:
        process.wait_for("/health/ready", 200)
        yield process.client.base_url.host, process.client.base_url.port or 80


@pytest.fixture
def signed(issuer: Issuer) -> str:
    return f"Authorization: Bearer {token(issuer)}"


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: x", *headers, "", ""]).encode() + body


def exchange(address: tuple[str, int], *packets: bytes) -> bytes:
    """Send the packets, and return all data until the service closes the connection."""
    received = b""
    with socket.create_connection(address, timeout=10) as connection, suppress(ConnectionError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for packet in packets:
            connection.sendall(packet)
            time.sleep(0.01)
        while chunk := connection.recv(65536):
            received += chunk
    return received


def statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


def in_parts(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


# The response to several packets comes before the end of the body, and closes the connection.
@pytest.mark.parametrize(
    ("size", "expected"),
    [(1_000_000, [401, 404]), (40, [401])],
    ids=["one packet", "several packets"],
)
def test_token_in_a_trailer_returns_401(
    address: tuple[str, int], signed: str, size: int, expected: list[int]
) -> None:
    body = b"%x\r\n%s\r\n0\r\n%s\r\n\r\n" % (len(BODY), BODY, signed.encode())
    sent = request(f"POST {PATH}", JSON, CHUNKED, body=body) + request("GET /nowhere", CLOSE)

    assert statuses(exchange(address, *in_parts(sent, size))) == expected


@pytest.mark.parametrize("line", ["GET /health/live", "BREW /health/live"])
def test_endless_request_head_is_rejected(address: tuple[str, int], line: str) -> None:
    head = request(line, *["X-Filler: y"] * 5_000)[:-2]

    assert statuses(exchange(address, *in_parts(head, 8_192))) in ([400], [])


def test_endless_chunk_extension_is_rejected(address: tuple[str, int], signed: str) -> None:
    head = request(f"POST {PATH}", JSON, CHUNKED, signed)

    received = exchange(address, head, *in_parts(b"5;" + b"x" * 65_536, 8_192))

    assert statuses(received) in ([400], [])


def test_unknown_method_returns_405_problem(address: tuple[str, int], signed: str) -> None:
    received = exchange(address, request(f"BREW {PATH}", signed, CLOSE))

    assert statuses(received) == [405]
    assert b"\r\nallow: GET, POST\r\n" in received
    assert b"\r\ncontent-type: application/problem+json\r\n" in received


# With a WebSocket library, uvicorn's own h11 protocol refuses `websocket` in a POST.
SPEAKS_WEBSOCKET = any(map(importlib.util.find_spec, ("websockets", "wsproto")))


@pytest.mark.parametrize("protocol", ["h2c"] if SPEAKS_WEBSOCKET else ["h2c", "websocket"])
def test_request_with_an_upgrade_header_keeps_its_body(
    address: tuple[str, int], signed: str, protocol: str
) -> None:
    headers = (JSON, LENGTH, signed, f"Upgrade: {protocol}", "HTTP2-Settings: AAMAAABkAAQ")
    sent = request(f"POST {PATH}", *headers, "Connection: Upgrade, close", body=BODY)

    assert statuses(exchange(address, sent)) == [201]


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX Y: z\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX : z\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na",
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
)
def test_malformed_request_returns_400_without_details(
    address: tuple[str, int], sent: bytes
) -> None:
    received = exchange(address, sent)

    assert statuses(received) == [400]
    for hint in ("Traceback", "h11", "httptools", uvicorn.__version__):
        assert hint.encode() not in received


@pytest.mark.parametrize("size", [1_000_000, 100], ids=["one packet", "several packets"])
def test_pipelined_requests_get_responses_in_order(
    address: tuple[str, int], signed: str, size: int
) -> None:
    sent = [
        request(f"GET {PATH}", signed),
        request(f"POST {PATH}", signed, JSON, LENGTH, body=BODY),
        request(f"POST {PATH}", JSON, LENGTH, body=BODY),
        request("GET /health/live"),
        request(
            f"POST {PATH}",
            signed,
            JSON,
            CHUNKED,
            body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY),
        ),
        request("BREW /health/live"),
        request("GET /nowhere", CLOSE),
    ]

    received = exchange(address, *in_parts(b"".join(sent), size))

    assert statuses(received) == [200, 201, 401, 200, 201, 405, 404]


@pytest.mark.parametrize("size", [64 * 1024, 5_000, 1_000], ids=str)
def test_body_in_several_packets_is_accepted(
    address: tuple[str, int], signed: str, size: int
) -> None:
    body = BODY.ljust(64 * 1024)
    head = request(f"POST {PATH}", signed, JSON, f"Content-Length: {len(body)}", CLOSE)

    assert statuses(exchange(address, head, *in_parts(body, size))) == [201]


def test_http_1_0_connection_gets_one_response(address: tuple[str, int]) -> None:
    sent = b"GET /health/live HTTP/1.0\r\n\r\n"

    assert statuses(exchange(address, sent * 2)) == [200]


def test_idle_connections_are_closed_at_shutdown(settings: Settings) -> None:
    live = request("GET /health/live")
    sent = [live, live.replace(b"GET", b"BREW"), live + live[:-1], b"", live[:-1]]
    with ExitStack() as stack:
        with serve(create_app(settings)) as base_url:
            url = httpx2.URL(base_url)
            clients = [
                stack.enter_context(socket.create_connection((url.host, url.port or 80), 10))
                for _ in sent
            ]
            for client, data in zip(clients, sent, strict=True):
                client.sendall(data)
            for client in clients[:3]:
                assert client.recv(65536)
            time.sleep(0.2)  # until the service has read what the others have sent

        for client in clients:
            while client.recv(65536):
                pass  # the rest of a response, until the connection is closed
