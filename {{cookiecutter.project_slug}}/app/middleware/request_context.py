"""Request ids, security headers and the log line of each request."""

import re
import time

import structlog
from opentelemetry import trace
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid7

SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
]


class RequestContext:
    """Add a request id and the security headers to each response, and log each request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.log = structlog.get_logger().bind()  # bound once, not for each line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        state = scope.setdefault("state", {})
        state["request_id"] = request_id = _request_id(scope)
        structlog.contextvars.bind_contextvars(request_id=request_id)
        if (span := trace.get_current_span()).is_recording():
            # A client may have put a token into the query string.
            span.set_attributes({"url.query": "", "request.id": request_id})
        root_path, status = scope.get("root_path", ""), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = (b"x-request-id", request_id.encode())
                message["headers"] = [*message["headers"], *SECURITY_HEADERS, own]
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        finally:
            self.log.info(
                "request",
                method=scope["method"],
                route=_route(scope, root_path),
                status=status,
                milliseconds=round((time.perf_counter() - started) * 1000, 1),
                user=state["user"].id if "user" in state else None,
                reason=state.get("reason"),
            )


def _route(scope: Scope, root_path: str) -> str | None:
    """Return the pattern of the path, with the paths of mounts; None without a route of FastAPI."""
    # A router that is included with a prefix has other paths than its own routes.
    included = scope.get("fastapi", {}).get("effective_route_context")
    path: str | None = getattr(included or scope.get("route"), "path", None)
    mounts: str = scope.get("root_path", "").removeprefix(root_path)
    return path and mounts + path


def _request_id(scope: Scope) -> str:
    """Return the request id that the caller has sent, if it is one valid id, else a new one."""
    given = Headers(scope=scope).getlist("x-request-id")
    if len(given) == 1 and re.fullmatch(r"[A-Za-z0-9._-]{1,128}", given[0]):
        return given[0]
    return str(uuid7())
