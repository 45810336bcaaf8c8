"""Brings the tables to a revision: `alembic upgrade head`. Nothing else makes tables.

Several that start together wait for each other, and all but the first find nothing left to do.
Where the database is away it ends with status 75, or with `-x wait` waits for it.
"""

import asyncio
import signal
import sys
from collections.abc import Collection, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import alembic.command
import structlog
from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from migrations.checksums import check_unedited, record
from migrations.errors import (
    MigrationError,
    failure,
    first_line,
    is_unavailable,
    loading,
    location,
    one_line,
)
from migrations.history import History

try:
    from app.config import ConfigurationError, DatabaseSettings
    from app.database import translate_driver_errors
    from app.engine import for_migrations
    from app.errors import EXIT_UNAVAILABLE, Unavailable
    from app.logging import configure_logging
    from app.models import Base
    from migrations.autogenerate import comparison
    from migrations.table_changes import check_references, prepare
except Exception as error:
    raise SystemExit(f"Cannot migrate: {loading(error)}") from None

RETRY = 0.5  # seconds
# What Alembic calls the commands that undo migrations, or say at which revision the database is.
# They work whatever the state of the history is, since they may be needed to mend it.
MENDING = ("downgrade", "do_stamp", "display_version")

log = structlog.get_logger()


def report(
    history: History,
    ctx: MigrationContext,
    step: MigrationInfo,
    heads: Collection[str],
    run_args: Mapping[str, Any],  # noqa: ARG001 - Alembic passes it
) -> None:
    check_references(context.get_bind())
    record(history, ctx, step, heads)
    done = "migrated to" if step.is_upgrade else "migrated back from"
    log.info(done, revision=step.up_revision_id, changes=getattr(step.up_revision, "doc", None))


def check(connection: Connection, history: History) -> None:
    """Raise MigrationError if the files are not what the database was migrated with."""
    migrations = context.get_context()
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
    if not migrations.as_sql:
        check_unedited(connection, history, heads)
    if command == "retrieve_migrations" and {*heads} != {*history.heads}:
        raise MigrationError(
            "the database is not at the newest revision, with which the models are compared. "
            "Run `alembic upgrade head` first."
        )


def check_models() -> None:
    """For `alembic check`, raise MigrationError if the models differ from the tables."""
    command = getattr(context.config.cmd_opts, "cmd", None)
    if not command or command[0] is not alembic.command.check:
        return
    [script] = context.get_context().opts["revision_context"].generated_revisions
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


def migrate(history: History, connection: Connection) -> None:
    prepare(connection)
    # All in one transaction: what is interrupted has not happened, and can be run again.
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transactional_ddl=True,
        on_version_apply=partial(report, history),
        **comparison(),
    )
    with context.begin_transaction():
        check(connection, history)
        context.run_migrations()
        check_models()
    heads = context.get_context().get_current_heads()
    log.info("database is at", revision=", ".join(heads) or None)


async def upgrade(engine: AsyncEngine, history: History) -> None:
    """Migrate. Raises Unavailable if the database is unreachable or read-only, and SystemExit with
    one line for any other error.
    """
    with translate_driver_errors():
        try:
            connection = await engine.connect()
        except DBAPIError as error:
            raise error.orig or error from error
    async with aclosing(connection):
        try:
            await connection.run_sync(partial(migrate, history))
        # A migration may raise anything, SystemExit included, which could look like success.
        except (Exception, SystemExit) as error:
            versions = Path(context.script.versions)
            if isinstance(error, SystemExit) and not location(error, versions):
                raise
            if isinstance(error, DBAPIError) and is_unavailable(error):
                raise Unavailable(f"database: {first_line(error.orig)}") from error
            raise SystemExit(f"Cannot migrate: {failure(error, versions)}") from None


async def main() -> None:
    try:
        settings = DatabaseSettings.load()
        history = History(Path(context.script.versions))
    except ConfigurationError as error:
        raise SystemExit(str(error)) from None
    except MigrationError as error:
        raise SystemExit(f"Cannot migrate: {error}") from None
    engine = for_migrations(settings)
    wait, reason = "wait" in context.get_x_argument(as_dictionary=True), None
    while True:
        try:
            return await upgrade(engine, history)
        except Unavailable as error:
            if reason != (reason := error.reason):
                log.warning("database not reached", reason=reason, waiting=wait)
        finally:
            await engine.dispose()
        if not wait:
            sys.exit(EXIT_UNAVAILABLE)
        await asyncio.sleep(RETRY)


configure_logging()
try:
    asyncio.run(main())
except KeyboardInterrupt:
    sys.exit(128 + signal.SIGINT)  # without a traceback
