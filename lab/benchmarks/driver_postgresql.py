"""PostgreSQL by asyncpg: each connection is lent to one statement at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

CONNECTIONS = 10

free: asyncio.Queue[asyncpg.Connection] = asyncio.Queue()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[None]:
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncpg.connect(url.replace("+asyncpg", "")))
    yield
    while not free.empty():
        await free.get_nowait().close()


async def fetch(sql: str, *values: Any) -> list[dict[str, Any]]:
    """Run a statement and return the tasks that it returns."""
    connection = await free.get()
    try:
        return [dict(row) for row in await connection.fetch(sql, *values)]
    finally:
        free.put_nowait(connection)
