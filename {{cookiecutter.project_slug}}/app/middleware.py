"""What happens around every request, outermost first; plain ASGI, so that nothing is buffered."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from opentelemetry import trace
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid7

from app.errors import (
    Problem,
    ServiceError,
    SeveralCredentials,
    Unauthenticated,
    Unavailable,
)
from app.security.verifier import TokenVerifier, User

HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
]

log = structlog.get_logger()

Count = Callable[[str], Awaitable[None]]


class RequestContext:
    """Add a request id and the security headers to each response, and log each request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.log = structlog.get_logger().bind()  # as it is configured now, not at each line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        state = scope.setdefault("state", {})
        state["request_id"] = request_id = _request_id(_header(scope, b"x-request-id"))
        structlog.contextvars.bind_contextvars(request_id=request_id)
        if (span := trace.get_current_span()).is_recording():
            # A client may have put a token into the query string.
            span.set_attributes({"url.query": "", "request.id": request_id})
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = (b"x-request-id", request_id.encode())
                message["headers"] = [*message["headers"], *HEADERS, own]
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        finally:
            self.log.info(
                "request",
                method=scope["method"],
                route=_route(scope),
                status=status,
                milliseconds=round((time.perf_counter() - started) * 1000, 1),
                user=state["user"].id if "user" in state else None,
                reason=state.get("reason"),
            )


class CrossOrigin(CORSMiddleware):
    """Skip CORS for requests without `Origin`. Responses are `no-store`, so need no `Vary`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _header(scope, b"origin"):
            await super().__call__(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class Deadline:
    """Return 503 when the time is up. The inner app keeps running; its late response is dropped.

    It is not canceled: canceling during a commit would leave the outcome unknown.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        late: asyncio.Task[None] | None = None

        def give_up() -> None:
            nonlocal late
            problem = _problem_for(Unavailable("deadline"), scope)
            late = asyncio.create_task(problem(scope, receive, send))

        async def send_in_time(message: Message) -> None:
            timer.cancel()
            if late is None:
                await send(message)

        timer = asyncio.get_running_loop().call_later(self.seconds, give_up)
        try:
            await self.app(scope, receive, send_in_time)
        finally:
            timer.cancel()
            if late is not None:
                await late


class ErrorBoundary:
    """Convert exceptions to problem+json responses. Unexpected ones become a 500 without details.

    Each challenge in `WWW-Authenticate` names the metadata of this resource (RFC 9728, section 5).
    """

    def __init__(self, app: ASGIApp, metadata_url: Callable[[Scope], str]) -> None:
        self.app = app
        self.metadata_url = metadata_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except Exception as error:
            if started:
                raise  # the response has begun: only closing the connection tells the client
            response = _problem_for(error, scope)
            if isinstance(error, ServiceError) and error.challenge is not None:
                challenge = {
                    "realm": "api",
                    **error.challenge,
                    "resource_metadata": self.metadata_url(scope),
                }
                response.headers["WWW-Authenticate"] = "Bearer " + ", ".join(
                    f'{name}="{value}"' for name, value in challenge.items()
                )
            await response(scope, receive, send)


def _problem_for(error: Exception, scope: Scope) -> Response:
    status, detail, headers, errors = 500, "Something went wrong here.", None, None
    if isinstance(error, ServiceError):
        status, detail, headers = error.status, error.detail, error.headers
        scope["state"]["reason"] = error.reason
    elif isinstance(error, RequestValidationError):
        status, detail, errors = 422, "The request is not valid: see errors.", _errors(error)
    elif isinstance(error, HTTPException):
        status, detail, headers = error.status_code, error.detail, error.headers
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            # Starlette lists the methods of only one of the routes with this path.
            headers = {"Allow": _methods(scope)}
    else:
        log.error("unhandled", exc_info=error)
    problem = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        request_id=scope["state"]["request_id"],
        errors=errors,
    )
    return problem.response(headers)


def _errors(error: RequestValidationError) -> list[dict[str, Any]]:
    """Return which rules were broken where, without the input."""
    return [
        {
            # The name of an unknown field is input, too, so `loc` is the object that contains it.
            "loc": item["loc"][:-1] if item["type"] == "extra_forbidden" else item["loc"],
            "msg": item["msg"].partition(", ")[0],  # pydantic quotes the input after the comma
            "type": item["type"],
        }
        for item in error.errors()
    ]


def _methods(scope: Scope) -> str:
    path, routes = _path(scope), iter_route_contexts(scope["app"].routes)
    methods = [route.methods or () for route in routes if route.path_regex.match(path)]
    return ", ".join(sorted(set().union(*methods)))


class Authentication:
    """Reject requests under `prefix` that carry no valid token.

    It runs before routing, so no route can omit it, and no body is read without a valid token.
    """

    def __init__(
        self, app: ASGIApp, verifier: TokenVerifier, prefix: str, count: Count | None
    ) -> None:
        """`count` is awaited once per request with the caller's key. It raises TooManyRequests."""
        self.app = app
        self.verifier = verifier
        self.prefix = prefix
        self.count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and self._guards(scope):
            await send({"type": "websocket.close"})  # WebSocket tokens are not verified
            return
        if scope["type"] == "http" and self._guards(scope):
            scope["state"]["user"] = await self._caller(scope)
        await self.app(scope, receive, send)

    async def _caller(self, scope: Scope) -> User:
        try:
            token = _bearer_token(_header(scope, b"authorization"))
            user = await self.verifier.verify(token)
        except ServiceError:
            if self.count:
                await self.count(f"address {(scope['client'] or [None])[0]}")
            raise
        if self.count:
            await self.count(f"user {user.id}")
        return user

    def _guards(self, scope: Scope) -> bool:
        path = _path(scope)
        return path == self.prefix or path.startswith(f"{self.prefix}/")


def _bearer_token(values: Sequence[str]) -> str:
    """Return the token in the `Authorization` header (RFC 6750, section 2.1)."""
    if not values:
        raise Unauthenticated
    if len(values) > 1:
        raise SeveralCredentials
    scheme, _, token = values[0].partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated
    return token.lstrip(" ")


def _header(scope: Scope, name: bytes) -> list[str]:
    """Return the values of all headers with this name, which is given in lower case."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _request_id(given: Sequence[str]) -> str:
    """Return the caller's request id if it is well-formed, else a new one."""
    if len(given) == 1 and re.fullmatch(r"[A-Za-z0-9._-]{1,128}", given[0]):
        return given[0]
    return str(uuid7())


def _path(scope: Scope) -> str:
    """Return the path as routes define it, without the prefix of a proxy."""
    path: str = scope["path"]
    below: str = scope.get("root_path", "")
    return path.removeprefix(below) if path.startswith(f"{below}/") else path


def _route(scope: Scope) -> str | None:
    """The path with the names of its parameters; None where no route was reached."""
    if "endpoint" not in scope:
        return None
    route = _path(scope)
    for name, value in scope["path_params"].items():
        route = route.replace(str(value), "{" + name + "}")
    return route
