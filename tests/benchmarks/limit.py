"""The limit: the same API by hand, on FastAPI, PyJWT and the bare driver, without a layer.

It shows how fast one could be, and nothing else: it trusts every body, and knows no deadline, no
log, no `If-Match`, no filter, no limit to anything, and no answer to an outage.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import jwt
from bearer import subject
from fastapi import FastAPI, HTTPException, Request, Response
from pydantic_core import to_json
from uuid_utils.compat import uuid7

URL = os.environ["DATABASE_URL"]
if URL.startswith("sqlite"):
    from limit_sqlite import connect, fetch
else:
    from limit_postgresql import connect, fetch

CONNECTIONS = 10
CHANGEABLE = ("title", "description", "completed")
COLUMNS = "id, title, description, completed, version, created_at, updated_at"
LIST = f"SELECT {COLUMNS} FROM tasks WHERE owner_id = $1 ORDER BY id DESC LIMIT $2"
CONTINUE = f"""SELECT {COLUMNS} FROM tasks WHERE owner_id = $1 AND id < $3
ORDER BY id DESC LIMIT $2"""
GET = f"SELECT {COLUMNS} FROM tasks WHERE owner_id = $1 AND id = $2"
CREATE = f"""INSERT INTO tasks (owner_id, {COLUMNS})
VALUES ($1, $2, $3, $4, $5, 1, $6, $6) RETURNING {COLUMNS}"""
CHANGE = f"""UPDATE tasks SET {{}}, version = version + 1, updated_at = $3
WHERE owner_id = $1 AND id = $2 RETURNING {COLUMNS}"""
DELETE = f"DELETE FROM tasks WHERE owner_id = $1 AND id = $2 RETURNING {COLUMNS}"

free: asyncio.Queue[Any] = asyncio.Queue()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    for _ in range(CONNECTIONS):
        free.put_nowait(await connect(URL))
    yield
    while not free.empty():
        await free.get_nowait().close()


app = FastAPI(lifespan=lifespan)


async def run(sql: str, *values: Any) -> list[dict[str, Any]]:
    connection = await free.get()
    try:
        return await fetch(connection, sql, *values)
    finally:
        free.put_nowait(connection)


def owner(request: Request) -> str:
    _, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        return subject(token)
    except jwt.PyJWTError:
        raise HTTPException(401) from None


def answer(value: Any, status: int = 200) -> Response:
    return Response(to_json(value), status, media_type="application/json")


@app.get("/nothing")
async def nothing() -> Response:
    """What FastAPI and the server cost by themselves."""
    return answer({"status": "ok"})


@app.get("/api/v1/tasks")
async def list_tasks(request: Request, limit: int = 20, cursor: UUID | None = None) -> Response:
    position = (cursor,) if cursor else ()
    tasks = await run(CONTINUE if cursor else LIST, owner(request), limit + 1, *position)
    following = tasks[limit - 1]["id"] if len(tasks) > limit else None
    return answer({"items": tasks[:limit], "next_cursor": following})


@app.post("/api/v1/tasks")
async def create_task(request: Request) -> Response:
    user, task = owner(request), json.loads(await request.body())
    given = (task["title"], task.get("description"), task.get("completed", False))
    [created] = await run(CREATE, user, uuid7(), *given, datetime.now(UTC))
    return answer(created, 201)


@app.get("/api/v1/tasks/{id}")
async def get_task(request: Request, id: UUID) -> Response:
    return answer(the_one(await run(GET, owner(request), id)))


@app.patch("/api/v1/tasks/{id}")
async def change_task(request: Request, id: UUID) -> Response:
    user, changes = owner(request), json.loads(await request.body())
    names = [name for name in CHANGEABLE if name in changes]
    assignments = ", ".join(f"{name} = ${number}" for number, name in enumerate(names, 4))
    values = [changes[name] for name in names]
    changed = await run(CHANGE.format(assignments), user, id, datetime.now(UTC), *values)
    return answer(the_one(changed))


@app.delete("/api/v1/tasks/{id}")
async def delete_task(request: Request, id: UUID) -> Response:
    the_one(await run(DELETE, owner(request), id))
    return Response(status_code=204)


def the_one(tasks: list[dict[str, Any]]) -> dict[str, Any]:
    if not tasks:
        raise HTTPException(404)
    return tasks[0]
