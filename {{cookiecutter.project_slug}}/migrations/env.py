"""Brings the tables to a revision: `alembic upgrade head`. Nothing else makes tables.

Several that start together wait for each other, and all but the first find nothing left to do.
Where the database is away it ends with status 75, or with `-x wait` waits for it.
"""

import asyncio
import signal
import sqlite3
import sys
from contextlib import aclosing
from textwrap import shorten
from typing import Any

import structlog
from alembic import context
from alembic.runtime.migration import MigrationInfo
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.config import ConfigurationError, DatabaseSettings
from app.database import translate_driver_errors
from app.engine import for_migrations
from app.errors import EXIT_UNAVAILABLE, Unavailable
from app.logging import configure_logging
from app.models import Base
from migrations.autogenerate import comparison
from migrations.table_changes import check_references, prepare

RETRY = 0.5  # seconds
PRIVILEGE = "42501"  # insufficient_privilege
NO_SCHEMA = "3F000"  # invalid_schema_name: the role may use none of those in search_path
READ_ONLY = "25006"  # read_only_sql_transaction: a replica, or the old primary after a failover

log = structlog.get_logger()


def report(*_: Any, **given: Any) -> None:
    check_references(context.get_bind())
    step: MigrationInfo = given["step"]
    done = "migrated to" if step.is_upgrade else "migrated back from"
    log.info(done, revision=step.up_revision_id, changes=getattr(step.up_revision, "doc", None))


def migrate(connection: Connection) -> None:
    prepare(connection)
    # All in one transaction: what is interrupted has not happened, and can be run again.
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transactional_ddl=True,
        on_version_apply=report,
        **comparison(),
    )
    with context.begin_transaction():
        context.run_migrations()
    heads = context.get_context().get_current_heads()
    log.info("database is at", revision=", ".join(heads) or None)


async def upgrade(engine: AsyncEngine) -> None:
    """Migrate. Raises Unavailable if the database is unreachable or read-only, and SystemExit with
    one line if it refuses a statement or has an unknown revision.
    """
    with translate_driver_errors():
        try:
            connection = await engine.connect()
        except DBAPIError as error:
            raise error.orig or error from error
    async with aclosing(connection):
        try:
            await connection.run_sync(migrate)
        except CommandError as error:
            unknown = isinstance(error.__cause__, ResolutionError)
            advice = ". Use the version of the service that has this revision." if unknown else ""
            raise SystemExit(f"Cannot migrate: {' '.join(str(error).split())}{advice}") from None
        except DBAPIError as error:
            code = getattr(error.orig, "sqlstate", None)
            reason = str(error.orig).partition("\n")[0]
            if code in (PRIVILEGE, NO_SCHEMA):
                privilege = str(error.statement).split()[0] if code == PRIVILEGE else "USAGE"
                raise SystemExit(
                    f"Cannot migrate: the role lacks {privilege}: {reason}. "
                    "Grant it, or migrate with another role."
                ) from None
            if code == READ_ONLY or _is_read_only(error):
                raise Unavailable(f"database: {reason}") from error
            statement = shorten(error.statement or "COMMIT", 80, placeholder="…")
            raise SystemExit(
                f"Cannot migrate: {reason} (statement: {statement}). "
                "Correct the database or the migration, then migrate again."
            ) from None


def _is_read_only(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY


async def main() -> None:
    try:
        settings = DatabaseSettings.load()
    except ConfigurationError as error:
        raise SystemExit(str(error)) from None
    engine = for_migrations(settings)
    wait, reason = "wait" in context.get_x_argument(as_dictionary=True), None
    while True:
        try:
            return await upgrade(engine)
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
