"""A user's tasks in handwritten SQL, on the bare driver.

The limit and the services on Starlette and Litestar share it: they differ in the framework alone.
"""

import os
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

URL = os.environ["DATABASE_URL"]
if URL.startswith("sqlite"):
    import driver_sqlite as driver
else:
    import driver_postgresql as driver

Task = dict[str, Any]

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


class Missing(Exception):
    """The caller has no such task."""


def connected() -> AbstractAsyncContextManager[None]:
    return driver.connected(URL)


async def list_tasks(user: str, limit: int, cursor: UUID | None) -> dict[str, Any]:
    position = (cursor,) if cursor else ()
    tasks = await driver.fetch(CONTINUE if cursor else LIST, user, limit + 1, *position)
    following = tasks[limit - 1]["id"] if len(tasks) > limit else None
    return {"items": tasks[:limit], "next_cursor": following}


async def create_task(
    user: str, title: str, description: str | None = None, completed: bool = False
) -> Task:
    values = (user, uuid7(), title, description, completed, datetime.now(UTC))
    return the_one(await driver.fetch(CREATE, *values))


async def get_task(user: str, id: UUID) -> Task:
    return the_one(await driver.fetch(GET, user, id))


async def change_task(user: str, id: UUID, changes: dict[str, Any]) -> Task:
    names = [name for name in CHANGEABLE if name in changes]
    assignments = ", ".join(f"{name} = ${number}" for number, name in enumerate(names, 4))
    values = [changes[name] for name in names]
    sql = CHANGE.format(assignments)
    return the_one(await driver.fetch(sql, user, id, datetime.now(UTC), *values))


async def delete_task(user: str, id: UUID) -> None:
    the_one(await driver.fetch(DELETE, user, id))


def the_one(tasks: list[Task]) -> Task:
    if not tasks:
        raise Missing
    return tasks[0]
