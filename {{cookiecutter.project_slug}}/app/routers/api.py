"""Routers for the API, whose endpoints check the caller's rights."""

import re
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from app.dependencies import verified_user
from app.errors import Forbidden, InsufficientScope
from app.problems import problems
from app.routers.idempotency import idempotency_key, respond_once
from app.routers.json_body import read_json_body
from app.security.verifier import User

PREFIX = "/api/v1"
READING = {"GET", "HEAD"}


class AuthenticatedRoute(APIRoute):
    """Rejects callers without the required rights before it reads the body."""

    resource: ClassVar[str | None] = None
    """The first part of the scope that applications need; None rejects all applications."""

    required_role: ClassVar[str | None] = None

    def __init__(self, *args: Any, **options: Any) -> None:
        """Raise ValueError unless there is one method, which may be GET with HEAD."""
        super().__init__(*args, **options)
        methods = self.methods or set()
        if len(methods - {"HEAD"} or methods) != 1:
            raise ValueError(f"{self.path}: use one route for each method, so each has its scope")
        verb = "read" if methods <= READING else "write"
        self.scope = f"{self.resource}:{verb}" if self.resource else None
        security = {"security": [{"HTTPBearer": [self.scope] if self.scope else []}]}
        self.openapi_extra = security | (self.openapi_extra or {})

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        respond = super().get_route_handler()

        async def check_and_respond(request: Request) -> Response:
            self._check_rights(verified_user(request.scope))
            receive = await read_json_body(request.scope, request.receive)
            request = Request(request.scope, receive)
            if request.method == "POST" and (key := idempotency_key(request)):
                return await respond_once(respond, key, request)
            return await respond(request)

        return check_and_respond

    def _check_rights(self, user: User) -> None:
        if not user.may(self.scope):
            raise InsufficientScope(self.scope)
        if self.required_role is not None and self.required_role not in user.roles:
            raise Forbidden(f"the user has no role {self.required_role}")


def api_router(path: str, *, role: str | None = None, applications: bool = True) -> APIRouter:
    """Return a router for `path`, under the prefix of the API.

    Its endpoints reject applications whose tokens lack the scope that follows from the path:
    `/tasks` has `tasks:read` and `tasks:write`. With `applications=False`, they reject all
    applications. With a `role`, they reject users without that role.

    Raises ValueError for a path that would not make a scope (RFC 6749, section 3.3).
    """
    if not re.fullmatch(r"(/[\w-]+(/\{\w+(:\w+)?\})?)+", path, re.ASCII):
        raise ValueError(f"{path!r} is not a path such as '/tasks' or '/admin/users'")
    name = re.sub(r"/\{[\w:]+\}", "", path).removeprefix("/").replace("/", ":")

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
