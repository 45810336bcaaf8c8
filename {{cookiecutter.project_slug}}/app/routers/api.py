"""Routers for the API, whose endpoints check the caller's rights."""

import re
from typing import Any, ClassVar

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from app.dependencies import verified_user
from app.errors import Forbidden, InsufficientScope, problems
from app.routers.json_body import read_json_body
from app.security.verifier import User

PREFIX = "/api/v1"
READING = {"GET", "HEAD"}


class AuthenticatedRoute(APIRoute):
    """Rejects callers without the required rights before it reads the body."""

    resource: ClassVar[str | None] = None
    """The first part of the scopes that applications need; None rejects all applications."""

    required_role: ClassVar[str | None] = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        security = {"security": [{"HTTPBearer": sorted(self.scopes)}]}
        self.openapi_extra = security | (self.openapi_extra or {})

    @property
    def scopes(self) -> set[str]:
        """The scopes that applications need for the methods of this route."""
        return set(filter(None, map(self.scope_for, self.methods or ())))

    def scope_for(self, method: str) -> str | None:
        return self.resource and f"{self.resource}:{'read' if method in READING else 'write'}"

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in (self.methods or ()):
            self._check_rights(verified_user(scope), scope["method"])
            receive = await read_json_body(scope, receive)
        await super().handle(scope, receive, send)

    def _check_rights(self, user: User, method: str) -> None:
        needed = self.scope_for(method)
        if user.scopes is not None and needed not in user.scopes:
            raise InsufficientScope(needed)
        if self.required_role is not None and self.required_role not in user.roles:
            raise Forbidden(f"the user has no role {self.required_role}")


def api_router(path: str, *, role: str | None = None, applications: bool = True) -> APIRouter:
    """Return a router for `path`, under the prefix of the API.

    Its endpoints reject applications whose tokens lack the scope that follows from the path:
    `/tasks` has `tasks:read` and `tasks:write`. With `applications=False`, they reject all
    applications. With a `role`, they reject users without that role.
    """
    name = re.sub(r"/\{[^}]*\}", "", path).strip("/").replace("/", ":")

    class Route(AuthenticatedRoute):
        resource = name if applications else None
        required_role = role

    return APIRouter(
        prefix=f"{PREFIX}{path}",
        tags=[path.strip("/")],
        route_class=Route,
        responses=problems(400, 401, 403, 405, 413, 415, 422, 429, 503),
        generate_unique_id_function=lambda route: route.name,
    )
