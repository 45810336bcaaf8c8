"""Safe retries: a POST that is repeated with its `Idempotency-Key` takes effect once.

It follows draft-ietf-httpapi-idempotency-key-header-07. Keys belong to their user. A response is
stored in the transaction that makes the changes, so neither exists without the other. Errors change
nothing and are not stored: the same request may succeed later.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import sha256
from http import HTTPStatus
from secrets import randbelow

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.background import BackgroundTask
from starlette.types import Message, Scope

from app.database import RequestRunner
from app.dependencies import verified_user
from app.errors import IdempotencyKeyInUse, InvalidIdempotencyKey, ServiceError, Unavailable
from app.repositories.idempotency_keys import IdempotencyKeys, StoredResponse

# A string (RFC 9651, section 3.3.3) without escapes. Many clients leave out the quotes.
KEY = re.compile(r'"([ !#-\[\]-~]{1,255})"|([-A-Za-z0-9_.~:+/=]{1,255})')
HEADER_ENCODING = "latin-1"
PRUNE_EVERY = 100  # requests with a key, on average

Handler = Callable[[Request], Awaitable[Response]]

# Users and keys of the requests that this process is handling.
_in_progress: set[tuple[str, str]] = set()


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


async def respond_once(handler: Handler, key: str, request: Request) -> Response:
    """Return the response of `handler`, or the stored one if the user has sent this request before.

    Raises IdempotencyKeyInUse while a request with this key is being handled, and
    RequestValidationError if the key was used for another request.
    """
    user = verified_user(request.scope)
    keys = IdempotencyKeys(request.app.state.database, user)
    fingerprint = await _fingerprint(request)
    if (user.id, key) in _in_progress:
        raise IdempotencyKeyInUse
    _in_progress.add((user.id, key))
    try:
        response = await _stored_response(keys, key, fingerprint)
        response = response or await _handle_and_store(handler, keys, key, fingerprint, request)
    finally:
        _in_progress.discard((user.id, key))
    if not randbelow(PRUNE_EVERY):
        response.background = BackgroundTask(_run_then_prune, response.background, keys)
    return response


async def _stored_response(keys: IdempotencyKeys, key: str, fingerprint: bytes) -> Response | None:
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
    return _deserialize(stored)


async def _handle_and_store(
    handler: Handler, keys: IdempotencyKeys, key: str, fingerprint: bytes, request: Request
) -> Response:
    """Return the response of `handler`, and store it unless it is an error."""
    try:
        database = request.app.state.database
        async with database.transaction() as transaction:
            # For the handler's repositories.
            request.state.runner = RequestRunner(database, transaction)
            response = await handler(request)
            if response.status_code >= HTTPStatus.BAD_REQUEST:
                raise _ReturnedError(response)
            background, response.background = response.background, None
            stored = await _serialize(response, fingerprint, request.scope)
            await IdempotencyKeys(transaction, verified_user(request.scope)).add(key, stored)
    except (ServiceError, _ReturnedError) as error:
        # Another process may have handled the same request at the same time. That may have caused
        # this error.
        if replayed := await _stored_response(keys, key, fingerprint):
            return replayed
        if isinstance(error, _ReturnedError):
            return error.response
        raise
    response = _deserialize(stored)
    response.background = background
    return response


async def _serialize(response: Response, fingerprint: bytes, scope: Scope) -> StoredResponse:
    messages: list[Message] = []

    async def collect(message: Message) -> None:
        messages.append(message)

    # A disconnection must not end a stream early, because its first part would be stored.
    await response(scope, _receive_nothing, collect)
    start, *rest = messages
    return {
        "fingerprint": fingerprint,
        "status": start["status"],
        "headers": [
            (name.decode(HEADER_ENCODING), value.decode(HEADER_ENCODING))
            for name, value in start["headers"]
        ],
        "body": b"".join(message.get("body", b"") for message in rest),
    }


async def _receive_nothing() -> Message:
    return await asyncio.Future[Message]()


def _deserialize(stored: StoredResponse) -> Response:
    response = Response(stored["body"], stored["status"])
    response.raw_headers = [
        (name.encode(HEADER_ENCODING), value.encode(HEADER_ENCODING))
        for name, value in stored["headers"]
    ]
    return response


async def _run_then_prune(background: BackgroundTask | None, keys: IdempotencyKeys) -> None:
    if background:
        await background()
    with suppress(Unavailable):
        await keys.prune()


async def _fingerprint(request: Request) -> bytes:
    """Return a hash of the parts in which a repetition must equal the first request."""
    target = f"{request.method} {request.scope['path']}?".encode() + request.scope["query_string"]
    return sha256(target + b"\n" + await request.body()).digest()
