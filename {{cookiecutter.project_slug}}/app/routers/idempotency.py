"""Safe retries: a POST that is repeated with its `Idempotency-Key` takes effect once.

It follows draft-ietf-httpapi-idempotency-key-header-07. Keys belong to their user. A response is
stored in the transaction that makes the changes, so there is never one without the other. Errors
change nothing and are not stored: the same request may succeed later.
"""

import re
from contextlib import suppress
from hashlib import sha256
from http import HTTPStatus
from secrets import randbelow

from fastapi.exceptions import RequestValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.dependencies import verified_user
from app.errors import IdempotencyKeyInUse, InvalidIdempotencyKey, ServiceError, Unavailable
from app.repositories.idempotency_keys import IdempotencyKeys, StoredResponse
from app.routers.json_body import replay

# A string (RFC 9651, section 3.3.3) without escapes. Many clients leave out the quotes.
KEY = re.compile(r'"([ !#-\[\]-~]{1,255})"|([-A-Za-z0-9_.~:+/=]{1,255})')
CODEC = "latin-1"  # of headers
PRUNE_EVERY = 100  # requests with a key, on average

_in_use: set[tuple[str, str]] = set()  # users and keys of requests that this process is handling


class _ReturnedError(Exception):
    """The handler has returned an error response. Raising this rolls back its changes, too."""

    def __init__(self, response: StoredResponse) -> None:
        super().__init__(response["status"])
        self.response = response


def idempotency_key(scope: Scope) -> str | None:
    """Return the key of a request, if it has one. Raises InvalidIdempotencyKey."""
    values = [value for name, value in scope["headers"] if name == b"idempotency-key"]
    if not values:
        return None
    match = KEY.fullmatch(values[0].decode(CODEC))
    if len(values) > 1 or not match:
        raise InvalidIdempotencyKey
    return match[1] or match[2]


async def respond_once(app: ASGIApp, key: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Send the response of `app`, or the stored one if the user has sent this request before.

    Raises IdempotencyKeyInUse while a request with this key is being handled, and
    RequestValidationError if the key was used for another request.
    """
    user = verified_user(scope)
    keys = IdempotencyKeys(scope["app"].state.database, user)
    message = await receive()  # with the whole body
    receive = replay(message, receive)
    fingerprint = _fingerprint(scope, message.get("body", b""))
    if (user.id, key) in _in_use:
        raise IdempotencyKeyInUse
    _in_use.add((user.id, key))
    try:
        stored = await keys.get(key)
        if not stored:
            try:
                stored = await _respond(app, key, fingerprint, scope, receive)
            except (ServiceError, _ReturnedError) as error:
                # Another process may have handled the same request at the same time, and its
                # changes may have caused this error.
                stored = await keys.get(key)
                if not stored and isinstance(error, _ReturnedError):
                    stored = error.response
                if not stored:
                    raise
    finally:
        _in_use.discard((user.id, key))
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
    headers = [(name.encode(CODEC), value.encode(CODEC)) for name, value in stored["headers"]]
    await send({"type": "http.response.start", "status": stored["status"], "headers": headers})
    await send({"type": "http.response.body", "body": stored["body"]})
    if not randbelow(PRUNE_EVERY):
        with suppress(Unavailable):
            await keys.prune()


async def _respond(
    app: ASGIApp, key: str, fingerprint: bytes, scope: Scope, receive: Receive
) -> StoredResponse:
    """Return the response of `app`, and store it unless it is an error."""
    messages: list[Message] = []

    async def collect(message: Message) -> None:
        messages.append(message)

    async with scope["app"].state.database.transaction() as transaction:
        scope["state"]["transaction"] = transaction  # for the handler's repositories
        await app(scope, receive, collect)
        start, *rest = messages
        headers = [(name.decode(CODEC), value.decode(CODEC)) for name, value in start["headers"]]
        response: StoredResponse = {
            "fingerprint": fingerprint,
            "status": start["status"],
            "headers": headers,
            "body": b"".join(message.get("body", b"") for message in rest),
        }
        if response["status"] >= HTTPStatus.BAD_REQUEST:
            raise _ReturnedError(response)
        await IdempotencyKeys(transaction, verified_user(scope)).add(key, response)
    return response


def _fingerprint(scope: Scope, body: bytes) -> bytes:
    """Return a hash of what must be the same in a repetition."""
    target = f"{scope['method']} {scope['path']}?".encode() + scope["query_string"]
    return sha256(target + b"\n" + body).digest()
