"""PostgreSQL by the bare driver."""

from typing import Any

import asyncpg


async def connect(url: str) -> asyncpg.Connection:
    return await asyncpg.connect(url.replace("+asyncpg", ""))


async def fetch(connection: asyncpg.Connection, sql: str, *values: Any) -> list[dict[str, Any]]:
    """Tasks, as whatever statement returns them."""
    return [dict(row) for row in await connection.fetch(sql, *values)]
