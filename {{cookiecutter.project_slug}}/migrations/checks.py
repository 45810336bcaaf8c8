"""What has to hold before a command of Alembic may run."""

from typing import Any

import alembic.command
from alembic.runtime.migration import MigrationContext

from migrations.checksums import check_unedited
from migrations.errors import MigrationError, one_line
from migrations.history import History

# What Alembic calls the commands that undo migrations, or say at which revision the database is.
# They work whatever the state of the history is, since they may be needed to mend it.
MENDING = ("downgrade", "do_stamp", "display_version")


def check_history(migrations: MigrationContext, history: History) -> None:
    """Raise MigrationError if the files are not what the database was migrated with."""
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
    if command in MENDING:
        return
    history.check_is_linear()
    if migrations.connection and not migrations.as_sql:
        check_unedited(migrations.connection, history, heads)
    if command == "retrieve_migrations" and {*heads} != {*history.heads}:
        raise MigrationError(
            "the database is not at the newest revision, with which the models are compared. "
            "Run `alembic upgrade head` first."
        )


def check_models(migrations: MigrationContext) -> None:
    """For the command `alembic check`, raise MigrationError if the models differ from the tables.

    Alembic's own message has several lines.
    """
    command = getattr(migrations.config and migrations.config.cmd_opts, "cmd", None)
    if not command or command[0] is not alembic.command.check:
        return
    [script] = migrations.opts["revision_context"].generated_revisions
    if changes := [_named(change) for change in script.upgrade_ops.as_diffs()]:
        raise MigrationError(
            f"the models have changes that no migration makes: {', '.join(changes)}. "
            'Run: make migration NAME="what changes"'
        )


def _named(change: Any) -> str:
    """Return what Alembic would do and to what, like "add_column tasks due_on"."""
    [kind, *parts] = change[0] if isinstance(change, list) else change
    names = [getattr(part, "name", part) for part in parts[:3]]
    return " ".join([kind, *(name for name in names if isinstance(name, str))])
