"""Checks of files, database and models around each Alembic command."""

from typing import Any

import alembic.command
from alembic.runtime.migration import MigrationContext

from migrations.checksums import check_unedited
from migrations.errors import MigrationError, one_line
from migrations.history import History

# Alembic's functions for `downgrade`, `stamp` and `current`. These commands skip most checks,
# because they are needed to recover from what the checks find.
RECOVERY = ("downgrade", "do_stamp", "display_version")


def check_history(migrations: MigrationContext, history: History) -> None:
    """Raise MigrationError if the files do not match the migrations that ran on the database."""
    command = migrations.opts["fn"].__name__
    heads = migrations.get_current_heads()
    if unknown := [revision for revision in heads if revision not in history]:
        if command == "do_stamp":
            return
        raise MigrationError(
            f"the database is at revision {one_line(', '.join(unknown))}, which no file in "
            "migrations/versions has. Use the version of the service that has this revision, or "
            "restore its file."
        )
    if command in RECOVERY:
        return
    history.check_is_linear()
    if migrations.connection and not migrations.as_sql:
        check_unedited(migrations.connection, history, heads)
    if command == "retrieve_migrations" and {*heads} != {*history.heads}:
        raise MigrationError(
            "the database is not at the newest revision, which the models are compared with. "
            "Run `alembic upgrade head` first."
        )


def check_models(migrations: MigrationContext) -> None:
    """If the command is `alembic check`, raise MigrationError if the models differ from the tables.

    Replaces Alembic's own message, which has several lines.
    """
    command = getattr(migrations.config and migrations.config.cmd_opts, "cmd", None)
    if not command or command[0] is not alembic.command.check:
        return
    [script] = migrations.opts["revision_context"].generated_revisions
    if changes := [_describe(change) for change in script.upgrade_ops.as_diffs()]:
        raise MigrationError(
            f"the models have changes that no migration makes: {', '.join(changes)}. "
            'Run: make migration NAME="what changes"'
        )


def _describe(change: Any) -> str:
    """Return a difference in one line, such as "add_column tasks due_on"."""
    [kind, *parts] = change[0] if isinstance(change, list) else change
    names = [getattr(part, "name", part) for part in parts[:3]]
    return " ".join([kind, *(name for name in names if isinstance(name, str))])
