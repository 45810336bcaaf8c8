"""The routers of the API. All of their routes require a user."""

from app.routers import me, task
from app.routers.api import AuthenticatedRoute

ROUTERS = (task.router, me.router)


def api_routes() -> list[AuthenticatedRoute]:
    """Return the routes of all routers.

    Raises TypeError for a router that `api_router` did not create, because such a router would not
    check scopes.
    """
    routes: list[AuthenticatedRoute] = []
    for router in ROUTERS:
        for route in router.routes:
            if not isinstance(route, AuthenticatedRoute):
                raise TypeError(
                    f"{router.prefix!r} in ROUTERS must come from api_router, and contain neither "
                    "routers nor routes of other kinds"
                )
            routes.append(route)
    return routes


def scopes() -> set[str]:
    """Return the scopes that applications can have."""
    return {route.scope for route in api_routes() if route.scope}
