"""Tables come to be by migrations alone, and are what the models say."""

import asyncio

import alembic.command
import alembic.config
import pytest
from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import create_async_engine

from app.models import Base


@pytest.mark.usefixtures("service")
def test_models_and_migrations_agree(alembic_config: alembic.config.Config) -> None:
    alembic.command.check(alembic_config)


@pytest.mark.usefixtures("service")
def test_migrations_go_down_and_up_again(
    alembic_config: alembic.config.Config, database_url: str
) -> None:
    alembic.command.downgrade(alembic_config, "base")
    without = asyncio.run(_tables(database_url))
    alembic.command.upgrade(alembic_config, "head")

    assert without == {"alembic_version"}
    assert asyncio.run(_tables(database_url)) == {"alembic_version", *Base.metadata.tables}


async def _tables(database_url: str) -> set[str]:
    engine = create_async_engine(database_url)
    async with engine.connect() as connection:
        tables = await connection.run_sync(lambda sync: set(inspect(sync).get_table_names()))
    await engine.dispose()
    return tables
