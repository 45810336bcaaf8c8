"""The database of a test run: a file of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

AWAY = "sqlite+aiosqlite:////nowhere/tasks.db"
"""The URL of a database that nobody can reach."""


@contextmanager
def temporary_database() -> Iterator[str]:
    """The URL of an empty database, whose file is gone afterwards."""
    with TemporaryDirectory() as directory:
        yield f"sqlite:///{Path(directory, 'tasks.db')}"
