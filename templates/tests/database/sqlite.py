"""The database of a test run: a file of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def temporary_database(directory: Path) -> Iterator[str]:
    """The URL of an empty database in `directory`."""
    yield f"sqlite:///{directory / 'tasks.db'}"


AWAY = "sqlite+aiosqlite:////nowhere/tasks.db"
"""The URL of a database that nobody can reach."""
