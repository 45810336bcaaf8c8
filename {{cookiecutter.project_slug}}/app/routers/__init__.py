"""The API. All its routes need a user, whether their author thought of it or not."""

from fastapi import Depends, FastAPI

from app.dependencies import current_user
from app.errors import problems
from app.routers import me, task

PREFIX = "/api/v1"
ROUTERS = (task.router, me.router)


def include_api(app: FastAPI) -> None:
    # One by one, and not through a router of routers, which would match each path twice.
    for router in ROUTERS:
        app.include_router(
            router,
            prefix=PREFIX,
            dependencies=[Depends(current_user)],
            responses=problems(400, 401, 405, 413, 415, 422, 429, 503),
        )
