"""How the service talks to PostgreSQL."""

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

TIMEOUT = 2  # seconds each for a connection or a statement: every answer comes within five


def create_engine(url: str) -> AsyncEngine:
    """An engine for single statements; in AUTOCOMMIT each is a transaction of its own."""
    return create_async_engine(
        url,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
        pool_timeout=TIMEOUT,
        connect_args={"timeout": TIMEOUT, "command_timeout": TIMEOUT},
    )


def for_transactions(engine: AsyncEngine) -> AsyncEngine:
    """The same connections, for several statements in one transaction."""
    return engine.execution_options(isolation_level="READ COMMITTED")
