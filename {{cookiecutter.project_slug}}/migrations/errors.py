"""One-line messages for everything that can go wrong with migrations."""

import sqlite3
import traceback
from pathlib import Path
from textwrap import shorten

from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

PROJECT = Path(__file__).parents[1]
PRIVILEGE = "42501"  # insufficient_privilege
NO_SCHEMA = "3F000"  # invalid_schema_name: the role may use none of those in search_path
READ_ONLY = "25006"  # read_only_sql_transaction: a replica, or the old primary after a failover
CONNECTION_LOST = ("08", "57P")  # classes of SQLSTATE: connection exceptions, a server that stops


class MigrationError(Exception):
    """The migrations do not match each other or the database. The message says what to do."""


def one_line(text: object) -> str:
    return " ".join(str(text).split())


def first_line(text: object) -> str:
    return str(text).partition("\n")[0]


def relative(path: Path | str) -> str:
    """Return a path in the project relative to the project's folder, any other unchanged."""
    path = Path(path)
    return one_line(path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path)


def location(error: BaseException, folder: Path = PROJECT) -> str | None:
    """Return the file and line in `folder` that raised the error, or None if it was elsewhere.

    For example, "app/models/task.py, line 7". Hidden folders, such as `.venv`, are skipped.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{relative(error.filename)}, line {error.lineno or 1}"
    lines = [
        f"{relative(file)}, line {frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if (file := Path(frame.filename)).is_relative_to(folder)
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]
    return lines[-1] if lines else None


def summary(error: BaseException) -> str:
    """Return the type and the message of an exception. Syntax errors need no type."""
    if isinstance(error, SyntaxError):
        return one_line(error.msg)
    text = shorten(one_line(error), 300, placeholder="…")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def load_error(error: BaseException, file: Path | None = None) -> str:
    """Return a message about code that cannot be loaded, in `file` or in all of the project."""
    place = location(error, file or PROJECT) or (relative(file) if file else "the project")
    return f"{place} cannot be loaded: {summary(error)}. Correct it, then try again."


def is_unavailable(error: DBAPIError) -> bool:
    """Return whether a retry may succeed: the database is read-only, or the connection was lost."""
    code = getattr(error.orig, "sqlstate", None) or ""
    is_read_only = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY
    is_lost = error.connection_invalidated or code.startswith(CONNECTION_LOST)
    return is_read_only or is_lost or code == READ_ONLY


def describe(error: BaseException, versions: Path) -> str:
    """Return why a run failed, in which migration of the folder `versions`, and what to do."""
    if isinstance(error, MigrationError | CommandError):
        return one_line(error)
    if isinstance(error, DBAPIError):
        return _describe_database_error(error, versions)
    place = location(error, versions) or location(error)
    return f"{f'{place}: ' if place else ''}{summary(error)}. Correct it, then migrate again."


def _describe_database_error(error: DBAPIError, versions: Path) -> str:
    code = getattr(error.orig, "sqlstate", None)
    reason = first_line(error.orig)
    if code in (PRIVILEGE, NO_SCHEMA):
        privilege = str(error.statement).split()[0] if code == PRIVILEGE else "USAGE"
        return f"the role lacks {privilege}: {reason}. Grant it, or migrate with another role."
    place = location(error, versions)
    statement = shorten(error.statement or "COMMIT", 80, placeholder="…")
    return (
        f"{f'{place}: ' if place else ''}{reason} (statement: {statement}). "
        "Correct the database or the migration, then migrate again."
    )
