"""Authentication and rate limiting."""

from typing import TYPE_CHECKING

from starlette._utils import get_route_path
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import ServiceError, SeveralCredentials, Unauthenticated
from app.security.verifier import TokenVerifier, User

if TYPE_CHECKING:
    from app.middleware.rate_limit import RateLimiter


class Authentication:
    """Reject requests under `prefix` that have no valid token.

    Authentication runs before routing, so no route can omit it. No body is read without a valid
    token.
    """

    def __init__(
        self,
        app: ASGIApp,
        verifier: TokenVerifier,
        prefix: str,
        rate_limiter: "RateLimiter | None",
    ) -> None:
        self.app = app
        self.verifier = verifier
        self.prefix = prefix
        self.rate_limiter = rate_limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and self._guards(scope):
            if scope["type"] == "websocket":  # the API has no WebSockets
                await send({"type": "websocket.close"})
                return
            scope["state"]["user"] = await self._authenticate(scope)
        await self.app(scope, receive, send)

    async def _authenticate(self, scope: Scope) -> User:
        try:
            user = await self.verifier.verify(_bearer_token(scope))
        except ServiceError:
            if self.rate_limiter:
                address = scope["client"][0] if scope["client"] else None
                await self.rate_limiter.check(f"address {address}")
            raise
        if self.rate_limiter:
            await self.rate_limiter.check(f"user {user.id}")
        return user

    def _guards(self, scope: Scope) -> bool:
        # A private function, but routing uses it, too: both must see the same path.
        path = get_route_path(scope)
        return path == self.prefix or path.startswith(f"{self.prefix}/")


def _bearer_token(scope: Scope) -> str:
    """Return the token in the `Authorization` header (RFC 6750, section 2.1)."""
    credentials = Headers(scope=scope).getlist("authorization")
    if not credentials:
        raise Unauthenticated
    if len(credentials) > 1:
        raise SeveralCredentials
    scheme, _, token = credentials[0].partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated
    return token.lstrip(" ")
