"""Brings the tables to a revision: `alembic upgrade head`. Nothing else makes tables."""

import asyncio
from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection, TypeDecorator, pool
from sqlalchemy.ext.asyncio import create_async_engine

from app.config import ConfigurationError, DatabaseSettings
from app.models import Base


def render_item(kind: str, item: Any, _: AutogenContext) -> str | Literal[False]:
    """A migration names what the database has: plain types, none of ours, which may change."""
    if kind == "type" and isinstance(item, TypeDecorator):
        return f"sa.{item.impl!r}"
    return False


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_item=render_item,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def main() -> None:
    try:
        settings = DatabaseSettings.load()
    except ConfigurationError as error:
        raise SystemExit(str(error)) from None
    engine = create_async_engine(
        settings.database_url.get_secret_value(), poolclass=pool.NullPool, hide_parameters=True
    )
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


asyncio.run(main())
