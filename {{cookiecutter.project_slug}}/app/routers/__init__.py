"""The API. All its routes require a user, even if their author does not think of it."""

from fastapi import FastAPI

from app.routers import me, task
from app.routers.api import AuthenticatedRoute

ROUTERS = (task.router, me.router)


def scopes() -> set[str]:
    """Return the scopes that applications can have."""
    routes = [route for router in ROUTERS for route in router.routes]
    return set().union(*(route.scopes for route in routes if isinstance(route, AuthenticatedRoute)))


def include_api(app: FastAPI) -> None:
    """Add the API's routes. Raises TypeError for a router that `api_router` did not make."""
    for router in ROUTERS:
        if not all(isinstance(route, AuthenticatedRoute) for route in router.routes):
            raise TypeError(f"the router for {router.prefix!r} was not made by api_router")
    # Not by include_router, which matches each path twice. Before /docs, which is rarely requested.
    app.router.routes[:0] = [route for router in ROUTERS for route in router.routes]
