"""How the service talks to SQLite: many readers, one writer, nothing acknowledged is lost."""

from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

TIMEOUT = 2  # seconds each for a connection or a lock: every answer comes within five

PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # what was committed survives a power cut
    "PRAGMA foreign_keys = ON",
)


def create_engine(url: str) -> AsyncEngine:
    """An engine for single statements; in AUTOCOMMIT each is a transaction of its own."""
    engine = create_async_engine(
        url,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
        pool_timeout=TIMEOUT,
        connect_args={"timeout": TIMEOUT},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def set_pragmas(connection: DBAPIConnection, _: object) -> None:
        for pragma in PRAGMAS:
            connection.execute(pragma)

    return engine


def for_transactions(engine: AsyncEngine) -> AsyncEngine:
    """The same connections, for several statements in one transaction."""
    engine = engine.execution_options(isolation_level="SERIALIZABLE")

    # At once, not with the first write: two that have read by then would lock each other out.
    @event.listens_for(engine.sync_engine, "begin")
    def begin_immediately(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
