"""How the service talks to PostgreSQL."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, DateTime, NullPool, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.config import DatabaseSettings

READ_ONLY = "25006"  # read_only_sql_transaction
MIGRATIONS_LOCK = 0x6D696772  # any number that all who migrate agree on
# With an empty name a statement is forgotten at the next one: the next server may not know it.
UNPREPARED: dict[str, Any] = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
    "prepared_statement_name_func": str,
}

Opener = Callable[[], AbstractContextManager[Connection]]

UtcDateTime = DateTime(timezone=True)
"""A point in time, in UTC on both sides."""


def create_engine(settings: DatabaseSettings) -> AsyncEngine:
    """An engine for single statements; in AUTOCOMMIT each is a transaction of its own.

    Behind a pooler that lends a server for one transaction each has BEGIN and COMMIT around it:
    it takes several messages, which must not go to several servers.
    """
    engine = create_async_engine(
        settings.database_url.get_secret_value(),
        isolation_level="READ COMMITTED" if settings.database_transaction_pooling else "AUTOCOMMIT",
        skip_autocommit_rollback=True,
        hide_parameters=True,
        pool_size=settings.database_pool_size,
        max_overflow=0,
        pool_timeout=settings.database_pool_timeout_seconds,
        connect_args={
            **_connect_args(settings),
            "command_timeout": settings.database_statement_timeout_seconds,
        },
    )

    @event.listens_for(engine.sync_engine, "handle_error")
    def reconnect(error: ExceptionContext) -> None:
        # After a failover old connections may lead to what is a replica now.
        code = getattr(error.original_exception, "sqlstate", None)
        error.is_disconnect |= code == READ_ONLY

    return engine


def opener(engine: AsyncEngine, settings: DatabaseSettings) -> Opener:
    """What opens a connection for one statement, and sees that it is committed."""
    sync = engine.sync_engine
    return sync.begin if settings.database_transaction_pooling else sync.connect


def for_transactions(engine: AsyncEngine) -> AsyncEngine:
    """The same connections, for several statements in one transaction."""
    return engine.execution_options(isolation_level="READ COMMITTED")


def for_migrations(settings: DatabaseSettings) -> AsyncEngine:
    """An engine whose transactions wait for each other, and take as long as they take."""
    engine = create_async_engine(
        settings.database_url.get_secret_value(),
        hide_parameters=True,
        poolclass=NullPool,
        connect_args=_connect_args(settings),
    )

    @event.listens_for(engine.sync_engine, "begin")
    def take_turns(connection: Connection) -> None:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATIONS_LOCK})")

    return engine


def _connect_args(settings: DatabaseSettings) -> dict[str, Any]:
    timeout = {"timeout": settings.database_pool_timeout_seconds}
    return timeout | UNPREPARED if settings.database_transaction_pooling else timeout
