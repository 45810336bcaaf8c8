"""Runs migrations, which alone create and change tables: `alembic upgrade head`.

Processes that migrate at the same time wait for each other; all but the first find nothing to do.
If the database is unreachable, the exit status is 75. With `-x wait`, Alembic waits for it instead.
"""

import asyncio
import signal
import sys
from collections.abc import Collection, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from migrations.checks import check_history, check_models
from migrations.checksums import record
from migrations.errors import (
    MigrationError,
    describe,
    first_line,
    is_unavailable,
    load_error,
    location,
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
    from migrations.table_changes import check_references, prepare, update_statistics
except Exception as error:
    raise SystemExit(f"Cannot migrate: {load_error(error)}") from None

RETRY = 0.5  # seconds

log = structlog.get_logger()


def on_version_apply(
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


def migrate(history: History, connection: Connection) -> None:
    prepare(connection)
    # One transaction for all migrations: an interrupted run changes nothing and can be repeated.
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transactional_ddl=True,
        on_version_apply=partial(on_version_apply, history),
        **comparison(),
    )
    with context.begin_transaction():
        migrations = context.get_context()
        check_history(migrations, history)
        context.run_migrations()
        if migrations.opts["fn"].__name__ == "upgrade" and not migrations.as_sql:
            update_statistics(connection)
        check_models(migrations)
    heads = migrations.get_current_heads()
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
        # A migration may raise anything, even SystemExit(0), which would look like success.
        except (Exception, SystemExit) as error:
            versions = Path(context.script.versions)
            if isinstance(error, SystemExit) and not location(error, versions):
                raise
            if isinstance(error, DBAPIError) and is_unavailable(error):
                raise Unavailable(f"database: {first_line(error.orig)}") from error
            raise SystemExit(f"Cannot migrate: {describe(error, versions)}") from None


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
