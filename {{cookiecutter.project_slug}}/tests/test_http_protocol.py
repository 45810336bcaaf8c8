"""A connection with two parsers parses each request as h11 alone would."""

import asyncio
import re
from typing import Any
from unittest.mock import Mock

import pytest
from h11 import LocalProtocolError
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from app.server.h11_protocol import H11Protocol
from app.server.http_protocol import MAX_HEAD_BYTES, HttpProtocol, replace_uvicorns_protocols

Protocol = H11Protocol | HttpToolsProtocol

# What a protocol passes to the application. The body comes last.
READ = ("method", "path", "raw_path", "query_string", "http_version", "headers", "client", "scheme")

GET = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
ODD = b"BREW /c HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = (
    b"POST /d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
)


class Connection(asyncio.Transport):
    """A connection to an application that records requests, and responds with their numbers."""

    def __init__(self, protocol: type[Protocol]) -> None:
        super().__init__({"peername": ("192.0.2.1", 50_000), "sockname": ("192.0.2.2", 80)})
        self.requests: list[tuple[object, ...]] = []
        self.sent = b""
        self.closed = self.reading_paused = False
        self.state = ServerState()
        config = Config(self.app, interface="asgi3", lifespan="off", log_config=None)
        config.load()
        self.protocol: Any = protocol(config, self.state, {})
        self.protocol.connection_made(self)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        number = len(self.requests)
        self.requests.append(())
        body, more = b"", scope["path"] != "/early"  # does not wait for the body
        while more and (message := await receive())["type"] == "http.request":
            body, more = body + message["body"], message["more_body"]
        self.requests[number] = (*(scope[name] for name in READ), body, more)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%d" % number})

    async def receive(self, *packets: bytes) -> None:
        """Feed the packets as the event loop does, until the connection is closed or paused."""
        for packet in packets:
            for _ in range(20):
                await asyncio.sleep(0)
                if not self.reading_paused:
                    break
            if self.reading_paused or self.closed:
                return
            try:
                self.protocol.data_received(packet)
            except LocalProtocolError:  # uvicorn's h11 has bugs, and the event loop then closes
                self.close()
        for _ in range(20):
            await asyncio.sleep(0)

    def hang_up(self) -> None:
        self.protocol.connection_lost(None)

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", self.sent)]

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading_paused = True

    def resume_reading(self) -> None:
        self.reading_paused = False

    def can_write_eof(self) -> bool:
        return False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol


async def connection(*packets: bytes, protocol: type[Protocol] = HttpProtocol) -> Connection:
    connection = Connection(protocol)
    await connection.receive(*packets)
    return connection


def in_bytes(data: bytes) -> list[bytes]:
    return [data[index : index + 1] for index in range(len(data))]


@pytest.mark.parametrize("split", [lambda data: [data], in_bytes], ids=["whole", "bytes"])
async def test_plain_requests_are_parsed_by_httptools_in_order(split: Any) -> None:
    seen = await connection(*split(GET + POST + GET))

    assert [(request[0], request[-2]) for request in seen.requests] == [
        ("GET", b""), ("POST", b"hello"), ("GET", b""),
    ]  # fmt: skip
    assert seen.statuses == [200, 200, 200]
    assert isinstance(seen.protocol, HttpProtocol)


@pytest.mark.parametrize("split", [lambda data: [data], in_bytes], ids=["whole", "bytes"])
async def test_no_request_is_lost_when_the_parser_changes(split: Any) -> None:
    seen = await connection(*split(GET + POST + ODD + CHUNKED + GET))

    assert [request[0] for request in seen.requests] == ["GET", "POST", "BREW", "POST", "GET"]
    assert [request[-2] for request in seen.requests] == [b"", b"hello", b"", b"hello", b""]
    assert isinstance(seen.protocol, H11Protocol)
    assert seen.state.connections == {seen.protocol}
    seen.hang_up()
    assert seen.state.connections == set()


@pytest.mark.parametrize(
    "request_line",
    [b"BREW / HTTP/1.1", b"get / HTTP/1.1", b"GET / HTTP/1.0", b"GET / HTTP/2.0", b"GET * HTTP/1.1",
     b"GET http://x/ HTTP/1.1", b"GET /#a HTTP/1.1", b"GET /\x80 HTTP/1.1", b"GET  / HTTP/1.1"],
)  # fmt: skip
async def test_unusual_request_line_is_parsed_by_h11(request_line: bytes) -> None:
    seen = await connection(request_line + b"\r\nHost: x\r\n\r\n")

    assert isinstance(seen.protocol, H11Protocol)


@pytest.mark.parametrize(
    "field",
    [b"Upgrade: h2c", b"Expect: 100-continue", b"TRANSFER-ENCODING: chunked", b"Host: x",
     b"Proxy-Connection: close", b"Content-Length: 5", b"Content-Length:", b"Content-Length: +5",
     b"Content-Length: 5, 5", b"X: y ", b"X: a\0b", b"X: a\x7fb", b"X: a\rb", b"X: y\r\n z",
     b"X : y", b" X: y", b": y", b"X", b"X: y\nZ: z"],
)  # fmt: skip
async def test_unusual_header_is_parsed_by_h11(field: bytes) -> None:
    seen = await connection(POST.replace(b"\r\n\r\n", b"\r\n" + field + b"\r\n\r\n"))

    assert isinstance(seen.protocol, H11Protocol)


async def test_pipelined_request_waits_for_the_previous_response() -> None:
    seen = await connection(POST[:-1])

    seen.protocol.data_received(POST[-1:] + GET * 1_000)

    assert len(seen.requests) == 1
    assert seen.reading_paused
    await seen.receive()
    for _ in range(10_000):
        await asyncio.sleep(0)
    assert seen.statuses == [200] * 1_001


async def test_rest_of_an_unread_body_is_not_parsed_as_a_request() -> None:
    early = POST.replace(b"/b", b"/early").replace(b"5", b"%d" % len(GET))

    seen = await connection(early[:-5], GET, GET)

    assert [request[1] for request in seen.requests] == ["/early", "/a"]


async def test_paused_writing_stays_paused_after_the_change_to_h11() -> None:
    seen = await connection(GET)
    seen.sent = b""
    seen.protocol.pause_writing()

    await seen.receive(ODD)
    before = seen.sent
    seen.protocol.resume_writing()
    await seen.receive()

    assert before == b""
    assert seen.statuses == [200]


@pytest.mark.parametrize("sent", [GET, ODD, GET + ODD])
async def test_keep_alive_has_no_timer_of_its_own(sent: bytes) -> None:
    """Such a timer would close the connection even if a request has just arrived."""
    seen = await connection(sent)

    assert seen.statuses[-1] == 200
    assert seen.protocol.timeout_keep_alive_task is None


@pytest.mark.parametrize("request_line", [b"GET / HTTP/1.1", b"BREW / HTTP/1.1"])
@pytest.mark.parametrize("ending", [b"", b"\r\n\r\n"], ids=["incomplete", "complete"])
async def test_head_over_the_limit_returns_400(request_line: bytes, ending: bytes) -> None:
    head = request_line + b"\r\nHost: x" + b"\r\nX: y" * 4_000 + ending

    whole = await connection(head)
    in_parts = await connection(*(head[start:][:1_000] for start in range(0, len(head), 1_000)))

    for seen in (whole, in_parts):
        assert (seen.statuses, seen.requests, seen.closed) == ([400], [], True)


async def test_head_at_the_limit_is_accepted() -> None:
    head = b"GET / HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n" % (b"y" * (MAX_HEAD_BYTES - 32))
    assert len(head) == MAX_HEAD_BYTES

    assert (await connection(head + GET)).statuses == [200, 200]
    assert (await connection(head[:-1], head[-1:])).statuses == [200]


@pytest.mark.parametrize("start", [b"\x16\x03\x01", b"\r\n", b" "])
async def test_data_that_is_not_http_closes_the_connection_at_once(start: bytes) -> None:
    seen = await connection(start)

    assert seen.closed
    assert seen.requests == []


@pytest.mark.parametrize(("sent", "is_upgraded"), [(GET, True), (POST, False)])
async def test_only_a_get_is_upgraded_to_a_websocket(sent: bytes, is_upgraded: bool) -> None:
    upgrade = b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    upgraded: list[Any] = []
    seen = Connection(HttpProtocol)

    def websocket(**arguments: Any) -> Any:
        upgraded.append(arguments)
        return Mock()

    seen.protocol.config.ws_protocol_class = websocket
    await seen.receive(sent.replace(b"\r\n\r\n", upgrade))

    assert bool(upgraded) is is_upgraded
    assert [request[-2] for request in seen.requests] == ([] if is_upgraded else [b"hello"])


async def test_uvicorns_own_class_is_replaced_but_not_its_subclasses() -> None:
    class Other(HttpToolsProtocol):
        """A protocol class of another library."""

    replace_uvicorns_protocols()

    assert isinstance(Connection(HttpToolsProtocol).protocol, HttpProtocol)
    assert type(Connection(Other).protocol) is Other


# --- Compared with h11

METHODS = [
    "GET", "GET", "POST", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS", "BREW", "get", "CONNECT",
    "PRI", "G\0T",
]  # fmt: skip
TARGETS = [
    "/", "/a", "/a?b=c", "/a?b?c", "/?", "/%41%2f", "/%zz", "/a#b", "/a;b", '/"<>^`{|}\\', "//x/y",
    "/..//a", "/[a]:@!", "/é", "/\x7f", "*", "x", "x:80", "http://x/y?z", "/early", "/early?a",
]  # fmt: skip
VERSIONS = ["HTTP/1.1"] * 12 + ["HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 "]
NAMES = [
    "Host", "Content-Length", "Content-Length", "Transfer-Encoding", "Connection", "Connection",
    "Upgrade", "Expect", "Proxy-Connection", "Cookie", "X-Forwarded-For", "!#$%&'*+.^_`|~", "Hos",
    "Hostt", "Content_Length", "é",
]  # fmt: skip
NAMES += ["X ", " X", "X Y", "", "X\0"]
VALUES = [
    "x", "close", "Close", "keep-alive", "close,x", "x,close", "upgrade,close", "upgrade", "h2c",
    "websocket", "100-continue", "0", "5", "05", "+5", "5,5", "0x5", "-1", "99999999999999999999",
    "chunked", "Chunked", "gzip,chunked", "identity", "é",
]  # fmt: skip
VALUES += ["", " ", "a b", "a\tb", " x ", "\tx\t", "a\0b", "a\x01b", "a\x7fb", "a\rb", "a\x0bb"]
LINE_ENDS = ["\r\n"] * 40 + ["\n", "\r", "\r\r\n", "\r\n "]
COLONS = [": ", ": ", ": ", ":", ":\t", " : "]
BODIES = ["", "hello", "GET /a HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n\r\n"]
CHUNKS = ["5\r\nhello\r\n", "5;a=b\r\nhello\r\n", "05 \r\nhello\r\n", "5\nhello\n", "x\r\n"]
TRAILERS = ["", "", "Authorization: Bearer x\r\n", "Content-Length: 5\r\n", "X Y: z\r\n"]


one_of = st.sampled_from
lengths = one_of(BODIES).map(lambda body: ([("content-length", f"{len(body)}")], body))
chunked = st.tuples(
    st.just([("Transfer-Encoding", "chunked")]),
    st.builds(
        lambda chunks, trailer: f"{''.join(chunks)}0\r\n{trailer}\r\n",
        st.lists(one_of(CHUNKS), max_size=2),
        one_of(TRAILERS),
    ),
)
without_body = st.just(([("Accept", "*/*")], ""))


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Generate a request that is valid or nearly valid."""
    is_odd = draw(st.booleans())
    framing, body = draw(without_body | lengths | chunked)
    more = draw(st.lists(st.tuples(one_of(NAMES), one_of(VALUES)), max_size=2))
    lines = ["POST /a HTTP/1.1"]
    if is_odd:
        lines = [" ".join(draw(st.tuples(one_of(METHODS), one_of(TARGETS), one_of(VERSIONS))))]
    for name, value in draw(st.permutations([("Host", "x"), *framing, *more])):
        lines.append(name + (draw(one_of(COLONS)) if is_odd else ": ") + value)
    ends = [draw(one_of(LINE_ENDS)) if is_odd else "\r\n" for _ in range(len(lines) + 1)]
    head = "".join(map("".join, zip([*lines, ""], ends, strict=True)))
    return (head + body).encode("latin-1")


@st.composite
def packets(draw: st.DrawFn) -> list[bytes]:
    """Generate several requests, sometimes with a wrong byte, split at any position."""
    data = b"".join(draw(st.lists(requests(), min_size=1, max_size=3)))
    if draw(st.integers(0, 9)) == 0:
        index = draw(st.integers(0, len(data) - 1))
        data = data[:index] + draw(st.binary(max_size=1)) + data[index + 1 :]
    cuts = sorted(draw(st.sets(st.integers(1, len(data) - 1), max_size=4)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@pytest.mark.slow
@given(packets())
@example_settings(max_examples=2_000)
def test_generated_requests_are_parsed_as_by_h11_alone(packets: list[bytes]) -> None:
    async def parsed_by(protocol: type[Protocol]) -> Connection:
        seen = await connection(*packets, protocol=protocol)
        closed = seen.closed
        seen.hang_up()
        await seen.receive()
        seen.closed = closed
        return seen

    ours = asyncio.run(parsed_by(HttpProtocol))
    by_h11 = asyncio.run(parsed_by(H11Protocol))

    assert ours.requests == by_h11.requests
    assert ours.closed == by_h11.closed
    # After `Connection: close`, h11 sends a 400 for more data, in place of a pending response.
    if b"close" not in b"".join(packets).lower():
        assert ours.statuses == by_h11.statuses
