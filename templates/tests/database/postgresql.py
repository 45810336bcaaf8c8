"""The database of a test run: a real PostgreSQL from a wheel, without Docker."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from app.models import Base
from scripts.postgres import running_server
from tests.engines import engine_for

AWAY = "postgresql://postgres@127.0.0.1:1/postgres"
"""The URL of a database that nobody can reach."""
DURABLE = {"SHOW synchronous_commit": {"synchronous_commit": "on"}}
"""What must hold for each connection so that nothing acknowledged is lost, and how to ask."""
SLOW = "SELECT pg_sleep(60)"
MAKE_READ_ONLY = "SET default_transaction_read_only = on"
"""Leaves a connection as a failover may leave it."""

COLUMN_TYPES = [
    (JSONB(), {"a": [1, {"b": None}]}),
    (ARRAY(Integer), [1, None, 3]),
    (ARRAY(Uuid), [UUID("018f0000-0000-7000-8000-000000000001")]),
]
"""Types of this database alone, each with a value."""


@contextmanager
def temporary_database() -> Iterator[str]:
    """Yield the URL of an empty database; stop its server and delete it afterwards."""
    # A socket's path may have at most 107 characters, 104 on macOS.
    parent = "/tmp" if len(gettempdir()) > 60 else None  # noqa: S108 - a folder of its own in it
    # -F turns fsync off: test data need not survive a crash of the machine.
    with TemporaryDirectory(dir=parent) as directory, running_server(Path(directory), "-F") as url:
        yield url


BY_INDEX = " using (pk|ix)_| on ix_"
"""What a plan has that finds its rows by an index, all of which begin with the owner."""


async def plans_of(url: str, statements: Mapping[str, Any]) -> dict[str, str]:
    """How the database goes about each statement, given its parameters."""
    engine = engine_for(url)
    async with engine.connect() as connection:
        await connection.exec_driver_sql("ANALYZE")  # it knows then how many rows there are
        explained = {
            statement: await connection.exec_driver_sql(f"EXPLAIN {statement}", values)
            for statement, values in statements.items()
        }
    await engine.dispose()
    return {one: "\n".join(plan.scalars()) for one, plan in explained.items()}


@contextmanager
def locked_database(url: str) -> Iterator[None]:
    """Within the block nobody else can write."""
    engine = engine_for(url)

    async def lock() -> AsyncConnection:
        connection = await engine.connect()
        tables = ", ".join(Base.metadata.tables)
        await connection.execute(text(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE"))
        return connection

    with asyncio.Runner() as runner:
        other = runner.run(lock())
        yield
        runner.run(other.close())
        runner.run(engine.dispose())
