"""Safe retries: a POST that is repeated with its `Idempotency-Key` takes effect once.

It follows draft-ietf-httpapi-idempotency-key-header-07. Keys belong to their user. A response is
stored in the transaction that makes the changes, so there is never one without the other. Errors
change nothing and are not stored: the same request may succeed later.
"""

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import sha256
from http import HTTPStatus
from secrets import randbelow

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.background import BackgroundTask
from starlette.types import Message

from app.dependencies import verified_user
from app.errors import IdempotencyKeyInUse, InvalidIdempotencyKey, ServiceError, Unavailable
from app.repositories.idempotency_keys import IdempotencyKeys, StoredResponse

# A string (RFC 9651, section 3.3.3) without escapes. Many clients leave out the quotes.
KEY = re.compile(r'"([ !#-\[\]-~]{1,255})"|([-A-Za-z0-9_.~:+/=]{1,255})')
CODEC = "latin-1"  # of headers
PRUNE_EVERY = 100  # requests with a key, on average

Handler = Callable[[Request], Awaitable[Response]]

_in_use: set[tuple[str, str]] = set()  # users and keys of requests that this process is handling


class _ReturnedError(Exception):
    """The handler has returned an error response. Raising this rolls back its changes, too."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def idempotency_key(request: Request) -> str | None:
    """Return the key of a request, if it has one. Raises InvalidIdempotencyKey."""
    values = request.headers.getlist("idempotency-key")
    if not values:
        return None
    match = KEY.fullmatch(values[0])
    if len(values) > 1 or not match:
        raise InvalidIdempotencyKey
    return match[1] or match[2]


async def respond_once(respond: Handler, key: str, request: Request) -> Response:
    """Return the response of `respond`, or the stored one if the user has sent this request before.

    Raises IdempotencyKeyInUse while a request with this key is being handled, and
    RequestValidationError if the key was used for another request.
    """
    user = verified_user(request.scope)
    keys = IdempotencyKeys(request.app.state.database, user)
    fingerprint = await _fingerprint(request)
    if (user.id, key) in _in_use:
        raise IdempotencyKeyInUse
    _in_use.add((user.id, key))
    try:
        response = await _replay(keys, key, fingerprint)
        response = response or await _respond(respond, keys, key, fingerprint, request)
    finally:
        _in_use.discard((user.id, key))
    if not randbelow(PRUNE_EVERY):
        response.background = BackgroundTask(_prune, keys, response.background)
    return response


async def _replay(keys: IdempotencyKeys, key: str, fingerprint: bytes) -> Response | None:
    """Return the stored response, if there is one."""
    stored = await keys.get(key)
    if not stored:
        return None
    if stored["fingerprint"] != fingerprint:
        raise RequestValidationError(
            [
                {
                    "loc": ("header", "Idempotency-Key"),
                    "msg": "This key was used for another request. Use a new one",
                    "type": "idempotency_key_reused",
                }
            ]
        )
    return _response(stored)


async def _respond(
    respond: Handler, keys: IdempotencyKeys, key: str, fingerprint: bytes, request: Request
) -> Response:
    """Return the response of `respond`, and store it unless it is an error."""
    try:
        async with request.app.state.database.transaction() as transaction:
            request.state.transaction = transaction  # for the handler's repositories
            response = await respond(request)
            if response.status_code >= HTTPStatus.BAD_REQUEST:
                raise _ReturnedError(response)
            background, response.background = response.background, None
            stored = await _collect(response, fingerprint, request)
            await IdempotencyKeys(transaction, verified_user(request.scope)).add(key, stored)
    except (ServiceError, _ReturnedError) as error:
        # Another process may have handled the same request at the same time, and its changes may
        # have caused this error.
        if replayed := await _replay(keys, key, fingerprint):
            return replayed
        if isinstance(error, _ReturnedError):
            return error.response
        raise
    response = _response(stored)
    response.background = background
    return response


async def _collect(response: Response, fingerprint: bytes, request: Request) -> StoredResponse:
    messages: list[Message] = []

    async def collect(message: Message) -> None:
        messages.append(message)

    await response(request.scope, request.receive, collect)
    start, *rest = messages
    return {
        "fingerprint": fingerprint,
        "status": start["status"],
        "headers": [(name.decode(CODEC), value.decode(CODEC)) for name, value in start["headers"]],
        "body": b"".join(message.get("body", b"") for message in rest),
    }


def _response(stored: StoredResponse) -> Response:
    response = Response(stored["body"], stored["status"])
    response.raw_headers = [
        (name.encode(CODEC), value.encode(CODEC)) for name, value in stored["headers"]
    ]
    return response


async def _prune(keys: IdempotencyKeys, background: BackgroundTask | None) -> None:
    if background:
        await background()
    with suppress(Unavailable):
        await keys.prune()


async def _fingerprint(request: Request) -> bytes:
    """Return a hash of what must be the same in a repetition."""
    target = f"{request.method} {request.scope['path']}?".encode() + request.scope["query_string"]
    return sha256(target + b"\n" + await request.body()).digest()
