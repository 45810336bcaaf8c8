"""SQLite by the bare driver, with values stored as SQLAlchemy stores them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import aiosqlite

# Those of the service; imported from there they would bring SQLAlchemy with them.
PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
)


async def connect(url: str) -> aiosqlite.Connection:
    path = url.partition("///")[2]
    connection = await aiosqlite.connect(path, timeout=2, isolation_level=None)
    for pragma in PRAGMAS:
        await connection.execute(pragma)
    return connection


async def fetch(connection: aiosqlite.Connection, sql: str, *values: Any) -> list[dict[str, Any]]:
    """Tasks, as whatever statement returns them. One visit to the connection's thread."""
    stored = [_stored(value) for value in values]
    rows = await connection.execute_fetchall(sql.replace("$", "?"), stored)
    return [_task(*row) for row in rows]


def _stored(value: Any) -> Any:
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    return value


def _task(
    id: str,
    title: str,
    description: str | None,
    completed: int,
    version: int,
    created_at: str,
    updated_at: str,
) -> dict[str, Any]:
    return {
        "id": UUID(id),
        "title": title,
        "description": description,
        "completed": bool(completed),
        "version": version,
        "created_at": datetime.fromisoformat(created_at).replace(tzinfo=UTC),
        "updated_at": datetime.fromisoformat(updated_at).replace(tzinfo=UTC),
    }
