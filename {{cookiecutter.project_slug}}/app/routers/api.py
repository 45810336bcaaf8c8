"""What the routers of the API have in common."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from app.dependencies import current_user
from app.errors import problems

PREFIX = "/api/v1"


class RouteForUsers(APIRoute):
    """Runs for a verified user alone, whatever let the request come so far."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_for_user(request: Request) -> Response:
            await current_user(request)
            return await handle(request)

        return handle_for_user


def api_router(path: str) -> APIRouter:
    """A router for the calls at `path`, below the prefix of the API."""
    return APIRouter(
        prefix=f"{PREFIX}{path}",
        tags=[path.strip("/")],
        route_class=RouteForUsers,
        responses=problems(400, 401, 405, 413, 415, 422, 429, 503),
        generate_unique_id_function=lambda route: route.name,
    )
