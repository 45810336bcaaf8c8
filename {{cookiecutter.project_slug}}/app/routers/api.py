"""What the routers of the API have in common."""

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from app.dependencies import current_user
from app.errors import Forbidden, problems

PREFIX = "/api/v1"


class RouteForUsers(APIRoute):
    """Runs for a verified user alone, whatever let the request come so far."""

    required_role: ClassVar[str | None] = None

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_for_user(request: Request) -> Response:
            user = await current_user(request)
            if self.required_role is not None and self.required_role not in user.roles:
                raise Forbidden(f"the user has no role {self.required_role}")
            return await handle(request)

        return handle_for_user


def api_router(path: str, *, role: str | None = None) -> APIRouter:
    """Return a router for `path`, under the prefix of the API.

    With a `role`, its endpoints reject users without that role before they read the body.
    """

    class Route(RouteForUsers):
        required_role = role

    forbidden = () if role is None else (403,)
    return APIRouter(
        prefix=f"{PREFIX}{path}",
        tags=[path.strip("/")],
        route_class=Route,
        responses=problems(400, 401, *forbidden, 405, 413, 415, 422, 429, 503),
        generate_unique_id_function=lambda route: route.name,
    )
