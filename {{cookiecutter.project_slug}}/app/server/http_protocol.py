"""Parse plain requests with httptools and all others with h11.

httptools saves about 0.1 ms of CPU per request: it takes a third of the time that h11 takes. It is
not safe alone. With it, uvicorn turns the trailers of a chunked body into headers, so that a
trailer can supply the `Authorization` of its own request. It also has no limit for headers,
responds to unknown methods with its own 400, and drops the body of a request with an `Upgrade`
header. Here, httptools gets only requests that h11 would parse in the same way, one at a time.
"""

import re
import sys
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.server.slow_clients import MAX_REST_BYTES, Awaited, Connection

MAX_HEAD_BYTES = 16 * 1024  # as h11 limits a head that arrives in parts

# A head as in RFC 9112, but with exactly one Host, at most one Content-Length, no other header that
# says where a message ends, and nothing that only one of the parsers accepts. Never backtracks.
REQUEST_LINE = rb"(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) /[!\"$-~]*+ HTTP/1\.1\r\n"
VALUE = rb":[\t -~\x80-\xff]*+(?<![\t ])\r\n"
HOST = rb"(?i:host)" + VALUE
LENGTH = rb"(?i:content-length): *+([0-9]{1,18}+)\r\n"
FRAMING = rb"(?i:host|content-length|transfer-encoding|upgrade|expect|proxy-connection):"
# Not `(?:…)*+`, which never matches before Python 3.11.5 if there is a lookahead in it.
OTHERS = rb"(?>(?:(?!" + FRAMING + rb")[-!#$%&'*+.^_`|~0-9A-Za-z]++" + VALUE + rb")*)"
PLAIN_HEAD = re.compile(
    b"%(line)b%(others)b(?:%(host)b%(others)b(?:%(length)b%(others)b)?"
    b"|%(length)b%(others)b%(host)b%(others)b)\r\n"
    % {b"line": REQUEST_LINE, b"others": OTHERS, b"host": HOST, b"length": LENGTH}
)


class HttpProtocol(Connection, HttpToolsProtocol):
    """One connection. From the first request that is not plain, h11 parses everything."""

    _unread: bytes = b""  # part of a head, or data that arrived while a request was in progress
    _missing = 0  # bytes of the current body that have not arrived yet

    def data_received(self, data: bytes) -> None:
        data = self._unread + data
        self._unread = b""
        while data and not self.transport.is_closing():
            if self._missing:
                size = self._missing
            elif self.cycle and not self.cycle.response_complete:
                # Wait for the response: no request may be in progress when h11 takes over.
                self._unread = data
                self.flow.pause_reading()
                return
            elif _is_incomplete(data):
                self._unread = data
                return
            elif plain := PLAIN_HEAD.match(data, 0, MAX_HEAD_BYTES):
                size = plain.end() + int(plain[1] or plain[2] or 0)
            else:
                self._continue_with_h11(data)
                return
            had_head = bool(self._missing)
            self._missing = max(0, size - len(data))
            super().data_received(data[:size])
            if self._missing and not had_head:
                self.allow_early_response()
            data = data[size:]

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
            if self._unread:
                self.data_received(b"")

    def is_body_missing(self) -> bool:
        return self._missing > 0

    def has_part_of_head(self) -> bool:
        return bool(self._unread)

    def announces_closing(self) -> bool:
        return self._missing > MAX_REST_BYTES

    def _continue_with_h11(self, data: bytes) -> None:
        # Imported only when needed: this takes 20 ms, and most processes never need it.
        from app.server.h11_protocol import H11Protocol

        self.connections.discard(self)
        protocol = H11Protocol(self.config, self.server_state, self.app_state, self.loop)
        protocol.connection_made(self.transport)
        if self.stage[0] is Awaited.HEAD:
            protocol.since = self.since
        protocol.flow = self.flow  # flow control knows whether the client reads
        if not data.startswith(b"GET "):
            # Not a WebSocket (RFC 6455, 4.1). Otherwise uvicorn would drop the body.
            protocol.ws_protocol_class = None
        self.flow.resume_reading()
        self.transport.set_protocol(protocol)
        self.parser = None  # type: ignore[assignment]  # ends a reference cycle
        # In two parts, because h11 does not limit a head that arrives as a whole.
        for part in (data[: MAX_HEAD_BYTES + 1], data[MAX_HEAD_BYTES + 1 :]):
            if part and not self.transport.is_closing():
                protocol.data_received(part)


def _is_incomplete(data: bytes) -> bool:
    """Return whether to wait for the rest of a head. What cannot begin one is rejected by h11."""
    has_end = data.endswith(b"\r\n\r\n") or b"\n\r\n" in data or b"\n\n" in data
    return not has_end and len(data) <= MAX_HEAD_BYTES and data[0] > 0x20


def replace_uvicorns_protocols() -> None:
    """Make uvicorn create our protocols in place of its own.

    `uvicorn app.main:create_app` has already chosen a class when it calls `create_app`, so that
    class itself has to create the replacement.
    """
    _replace(HttpToolsProtocol, HttpProtocol)
    if "uvicorn.protocols.http.h11_impl" in sys.modules:  # uvicorn --http h11
        from uvicorn.protocols.http import h11_impl

        from app.server.h11_protocol import H11Protocol

        _replace(h11_impl.H11Protocol, H11Protocol)


def _replace(theirs: type, ours: type) -> None:
    def new(cls: type, *_: Any, **__: Any) -> Any:
        return object.__new__(ours if cls is theirs else cls)

    theirs.__new__ = new  # type: ignore[assignment]  # mypy expects another signature
