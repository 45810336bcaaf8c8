"""The limit: the same API by hand, on FastAPI, PyJWT and the bare driver.

It shows how fast a service on FastAPI can be, and nothing else: it trusts every body, and has no
deadlines, no logs, no `If-Match`, no filters, no limits and no handling of outages.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import queries
from by_hand import answer, owner
from fastapi import FastAPI, Request, Response


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with queries.connected():
        yield


async def missing(_: Request, __: Exception) -> Response:
    return Response(status_code=404)


app = FastAPI(lifespan=lifespan, exception_handlers={queries.Missing: missing})


@app.get("/api/v1/tasks")
async def list_tasks(request: Request, limit: int = 20, cursor: UUID | None = None) -> Response:
    return answer(await queries.list_tasks(owner(request), limit, cursor))


@app.post("/api/v1/tasks")
async def create_task(request: Request) -> Response:
    user, task = owner(request), json.loads(await request.body())
    return answer(await queries.create_task(user, **task), 201)


@app.get("/api/v1/tasks/{id}")
async def get_task(request: Request, id: UUID) -> Response:
    return answer(await queries.get_task(owner(request), id))


@app.patch("/api/v1/tasks/{id}")
async def change_task(request: Request, id: UUID) -> Response:
    user, changes = owner(request), json.loads(await request.body())
    return answer(await queries.change_task(user, id, changes))


@app.delete("/api/v1/tasks/{id}")
async def delete_task(request: Request, id: UUID) -> Response:
    await queries.delete_task(owner(request), id)
    return Response(status_code=204)
