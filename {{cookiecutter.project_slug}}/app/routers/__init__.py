"""The API. Everything included in `api` needs a user, whether its author thought of it or not."""

from fastapi import APIRouter, Depends

from app.dependencies import current_user
from app.errors import problems
from app.routers import me, task

PREFIX = "/api/v1"

api = APIRouter(
    prefix=PREFIX,
    dependencies=[Depends(current_user)],
    responses=problems(400, 401, 405, 413, 415, 422, 429, 503),
)
api.include_router(task.router)
api.include_router(me.router)
