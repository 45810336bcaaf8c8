"""The limit without FastAPI: Starlette alone, which parses no parameters."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import queries
from by_hand import answer, owner
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def list_tasks(request: Request) -> Response:
    query = request.query_params
    cursor = UUID(query["cursor"]) if "cursor" in query else None
    limit = int(query.get("limit", 20))
    return answer(await queries.list_tasks(owner(request), limit, cursor))


async def create_task(request: Request) -> Response:
    user, task = owner(request), json.loads(await request.body())
    return answer(await queries.create_task(user, **task), 201)


async def get_task(request: Request) -> Response:
    return answer(await queries.get_task(owner(request), request.path_params["id"]))


async def change_task(request: Request) -> Response:
    user, changes = owner(request), json.loads(await request.body())
    return answer(await queries.change_task(user, request.path_params["id"], changes))


async def delete_task(request: Request) -> Response:
    await queries.delete_task(owner(request), request.path_params["id"])
    return Response(status_code=204)


async def missing(_: Request, __: Exception) -> Response:
    return Response(status_code=404)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    async with queries.connected():
        yield


app = Starlette(
    routes=[
        Route("/api/v1/tasks", list_tasks),
        Route("/api/v1/tasks", create_task, methods=["POST"]),
        Route("/api/v1/tasks/{id:uuid}", get_task),
        Route("/api/v1/tasks/{id:uuid}", change_task, methods=["PATCH"]),
        Route("/api/v1/tasks/{id:uuid}", delete_task, methods=["DELETE"]),
    ],
    exception_handlers={queries.Missing: missing},
    lifespan=lifespan,
)
