"""Behind a pooler in transaction mode, such as PgBouncer, no statement is prepared by name."""

import pytest
from pydantic import SecretStr
from sqlalchemy import insert, select, text

from app.config import Settings
from app.database import Database
from tests.conftest import TESTING
from tests.sample_resource import VALUES, Model

pytestmark = pytest.mark.usefixtures("service")

UNSCOPED = {"unscoped": TESTING}
INSERT = insert(Model).values(owner_id="ann", **VALUES).execution_options(**UNSCOPED)
IDS = select(Model.id).execution_options(**UNSCOPED)
PREPARED = text("SELECT name FROM pg_prepared_statements")


async def prepared_by_writing(settings: Settings, transaction_pooling: bool) -> list[str]:
    """Write and read a row. Return the names of the statements that are then prepared."""
    changes = {"database_pool_size": 1, "database_transaction_pooling": transaction_pooling}
    database = Database(settings.model_copy(update=changes))
    await database.run(INSERT)
    assert len(await database.run(IDS)) == 1
    names = [row["name"] for row in await database.run(PREPARED)]
    await database.close()
    return names


async def test_statements_are_prepared_once_for_each_connection(settings: Settings) -> None:
    assert await prepared_by_writing(settings, transaction_pooling=False)


async def test_nothing_is_prepared_with_transaction_pooling(settings: Settings) -> None:
    assert await prepared_by_writing(settings, transaction_pooling=True) == []


@pytest.mark.parametrize("parameter", ["pgbouncer=true", "prepared_statement_cache_size=0"])
async def test_nothing_is_prepared_if_the_url_asks_for_transaction_pooling(
    settings: Settings, parameter: str
) -> None:
    url = settings.database_url.get_secret_value()
    named = SecretStr(f"{url}{'&' if '?' in url else '?'}{parameter}")
    pooled = settings.model_copy(update={"database_url": named})

    assert await prepared_by_writing(pooled, transaction_pooling=False) == []


async def test_write_is_committed_with_transaction_pooling(settings: Settings) -> None:
    await prepared_by_writing(settings, transaction_pooling=True)

    database = Database(settings)
    assert len(await database.run(IDS)) == 1
    await database.close()
