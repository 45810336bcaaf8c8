"""The limit on Litestar, which parses requests and encodes responses with msgspec."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import jwt
import queries
from bearer import subject
from litestar import Litestar, Request, Response, delete, get, patch, post
from litestar.exceptions import NotAuthorizedException
from msgspec import UNSET, Struct, UnsetType, to_builtins


class TaskCreate(Struct):
    title: str
    description: str | None = None
    completed: bool = False


class TaskUpdate(Struct):
    title: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    completed: bool | UnsetType = UNSET


def owner(request: Request) -> str:
    _, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        return subject(token)
    except jwt.PyJWTError:
        raise NotAuthorizedException from None


@get("/api/v1/tasks")
async def list_tasks(
    request: Request, limit: int = 20, cursor: UUID | None = None
) -> dict[str, Any]:
    return await queries.list_tasks(owner(request), limit, cursor)


@post("/api/v1/tasks")
async def create_task(request: Request, data: TaskCreate) -> dict[str, Any]:
    return await queries.create_task(owner(request), data.title, data.description, data.completed)


@get("/api/v1/tasks/{id:uuid}")
async def get_task(request: Request, id: UUID) -> dict[str, Any]:
    return await queries.get_task(owner(request), id)


@patch("/api/v1/tasks/{id:uuid}")
async def change_task(request: Request, id: UUID, data: TaskUpdate) -> dict[str, Any]:
    return await queries.change_task(owner(request), id, to_builtins(data))


@delete("/api/v1/tasks/{id:uuid}")
async def delete_task(request: Request, id: UUID) -> None:
    await queries.delete_task(owner(request), id)


def missing(_: Request, __: Exception) -> Response[None]:
    return Response(None, status_code=404)


@asynccontextmanager
async def lifespan(_: Litestar) -> AsyncIterator[None]:
    async with queries.connected():
        yield


app = Litestar(
    [list_tasks, create_task, get_task, change_task, delete_task],
    exception_handlers={queries.Missing: missing},
    lifespan=[lifespan],
    openapi_config=None,
)
