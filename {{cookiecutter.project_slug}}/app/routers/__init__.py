"""The API. All its routes need a user, whether their author thought of it or not."""

from fastapi import FastAPI

from app.routers import me, task
from app.routers.api import AuthenticatedRoute

ROUTERS = (task.router, me.router)


def scopes() -> set[str]:
    """Return the scopes that applications can have."""
    routes = [route for router in ROUTERS for route in router.routes]
    return set().union(*(route.scopes for route in routes if isinstance(route, AuthenticatedRoute)))


def include_api(app: FastAPI) -> None:
    """Raises TypeError for a router that `api_router` did not make: it would be open to all."""
    for router in ROUTERS:
        if not all(isinstance(route, AuthenticatedRoute) for route in router.routes):
            raise TypeError(f"a router of the API comes from api_router, not {router.prefix!r}")
    # Not by include_router, which matches each path twice; and before /docs, for few ask that.
    app.router.routes[:0] = [route for router in ROUTERS for route in router.routes]
