"""Read request bodies before FastAPI does, and reject those that are not JSON in UTF-8."""

import re

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

from app.errors import ContentTooLarge, IncompleteBody, NotUtf8, UnsupportedMediaType

MAX_BODY_BYTES = 64 * 1024
JSON = re.compile(r"application/([\w.-]+\+)?json\s*(;|$)", re.IGNORECASE)


async def read_json_body(scope: Scope, receive: Receive) -> Receive:
    """Read the body, and return a `receive` that replays it.

    Raises ContentTooLarge, IncompleteBody, UnsupportedMediaType, or NotUtf8 (RFC 8259,
    section 8.1).
    """
    headers = Headers(scope=scope)
    length = headers.get("content-length", "0")
    if length.isdecimal() and int(length) > MAX_BODY_BYTES:
        raise ContentTooLarge
    announced = length != "0" or "transfer-encoding" in headers
    types = headers.getlist("content-type")
    is_json = len(types) == 1 and JSON.match(types[0])
    if announced and not is_json:
        raise UnsupportedMediaType
    # Only HTTP/1 announces every body.
    if not announced and scope["http_version"].startswith("1"):
        return receive
    body = b""
    message: Message = {"more_body": True}
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise ContentTooLarge
    if message["type"] == "http.disconnect":
        raise IncompleteBody  # a handler that reads no body would not detect it
    if body and not is_json:
        raise UnsupportedMediaType
    _check_encoding(body)
    return replay({**message, "body": body}, receive)


def replay(message: Message, receive: Receive) -> Receive:
    """Return a `receive` that returns `message` first."""
    messages = iter([message])

    async def repeat() -> Message:
        return next(messages, None) or await receive()

    return repeat


def _check_encoding(body: bytes) -> None:
    # Python's `json` would decode UTF-16 and UTF-32. JSON begins with ASCII, so they have a NUL
    # here, or a byte order mark that is not UTF-8.
    if b"\0" in body[:2]:
        raise NotUtf8
    try:
        body.decode()
    except UnicodeDecodeError:
        raise NotUtf8 from None
