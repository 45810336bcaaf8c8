"""Fill the database of a rendered project: python seed.py USERS TASKS BLOCKS ROWS

Each of USERS gets TASKS tasks, and the leaver gets BLOCKS times ROWS tasks to be deleted. The last
twelve digits of an id are two numbers, from which `load.lua` makes the same ids. Run it in the
project, with its environment.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.models.task import Task

TITLE = "Water the plants on the balcony"
DESCRIPTION = "Not those by the door: they had theirs on Monday. The can is in the shed."


def task(owner: str, kind: int, one: int, other: int) -> dict[str, object]:
    id = UUID(f"{kind:08x}-0000-7000-8000-{one:06x}{other:06x}")
    return {"owner_id": owner, "id": id, "title": TITLE, "description": DESCRIPTION}


def all_tasks(users: int, tasks: int, blocks: int, rows: int) -> Iterator[dict[str, object]]:
    for user in range(users):
        for number in range(tasks):
            yield task(f"user-{user}", 0, user, number)
    for block in range(blocks):
        for row in range(rows):
            yield task("leaver", 1, block, row)


async def main() -> None:
    numbers = map(int, sys.argv[1:])
    engine = create_async_engine(os.environ["DATABASE_URL"])
    async with engine.begin() as connection:
        await connection.execute(insert(Task), list(all_tasks(*numbers)))
        await connection.execute(text("ANALYZE tasks"))
    await engine.dispose()


asyncio.run(main())
