"""The database of a test run: a temporary file, or the one in TEST_DATABASE_URL."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from app.config import PROJECT
from app.database import translate_driver_errors
from app.database_url import database_file
from tests.engines import engine_for

UNREACHABLE_URL = f"sqlite:///{quote(__file__)}"
"""This file is not a database."""
DURABLE_SETTINGS = {
    "PRAGMA synchronous": {"synchronous": 2},  # FULL
    "PRAGMA journal_mode": {"journal_mode": "wal"},
    "PRAGMA foreign_keys": {"foreign_keys": 1},
}
"""Queries, with the results that guarantee durable commits."""
SLOW_QUERY = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
MAKE_READ_ONLY = "PRAGMA query_only = ON"
"""Makes a connection read-only, as if the file could not be written."""

COLUMN_TYPES: list[tuple[Any, Any]] = []
"""Column types that only this database has, each with a value."""


@contextmanager
def temporary_database() -> Iterator[str]:
    """Yield the URL of an empty database, and delete its file afterwards."""
    with TemporaryDirectory() as directory:
        yield f"sqlite:///{quote(directory)}/test.db"


MARK = "tests_may_empty_this_database"
"""The table that marks a database as one that the tests may empty."""
LOCK_TIMEOUT = 5  # seconds


@contextmanager
def reserved_database(url: str) -> Iterator[None]:
    """Mark a database as the tests' own, and lock out other runs of the tests during the block.

    Raises ValueError if it has objects that are not from earlier runs, or if another run uses it,
    and Unavailable if it cannot be written. In these cases nothing has changed.
    """
    file = database_file(url, PROJECT)
    with translate_driver_errors():
        if file.exists():
            _check_is_own(file)
        lock = sqlite3.connect(f"{file}-tests", isolation_level=None, timeout=0)
    with closing(lock):
        try:
            lock.execute("BEGIN EXCLUSIVE")  # ends even if the process is killed
        except sqlite3.OperationalError:
            raise ValueError(
                "another run of the tests uses the database. Wait until it ends"
            ) from None
        try:
            with translate_driver_errors():
                _mark(file)
            yield
        finally:
            with suppress(OSError):
                Path(f"{file}-tests").unlink()


def _check_is_own(file: Path) -> None:
    # Read-only: opening it as the service does would change its journal mode.
    uri = f"{file.as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=LOCK_TIMEOUT)) as database:
        found = database.execute(
            "SELECT name, type FROM sqlite_master WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!'"
        ).fetchall()
    if found and (MARK, "table") not in found:
        name, kind = found[0]
        raise ValueError(
            f"the database has the {kind} {name}, which is not from an earlier run of the tests. "
            "The tests delete everything. Name an empty database"
        )


def _mark(file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None, timeout=LOCK_TIMEOUT)) as database:
        database.execute("BEGIN IMMEDIATE")
        database.execute(f"CREATE TABLE IF NOT EXISTS {MARK} (id INTEGER)")
        database.execute("COMMIT")


USES_INDEX = "USING (PRIMARY KEY|(COVERING )?INDEX ix_)"
"""Matches plans that use an index. All indexes begin with the owner."""


async def users_on_the_shard_of(owner: str, table: str, url: str) -> list[str]:  # noqa: ARG001 - for Citus
    """Return 100 users."""
    return [f"user {number}" for number in range(100)]


async def explain(url: str, statements: Mapping[str, Any]) -> dict[str, str]:
    """Return the query plan of each statement, given its parameters."""
    engine = engine_for(url)
    async with engine.connect() as connection:
        explained = {
            statement: await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            for statement, values in statements.items()
        }
    await engine.dispose()
    return {
        statement: "\n".join(row.detail for row in plan) for statement, plan in explained.items()
    }


@contextmanager
def locked_database(url: str) -> Iterator[None]:
    """Hold the write lock, so that other connections cannot write."""
    with closing(sqlite3.connect(database_file(url, PROJECT), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
