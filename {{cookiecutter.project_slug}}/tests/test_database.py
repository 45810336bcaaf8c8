"""Acknowledged writes are durable, and failed statements leave nothing behind."""

import asyncio
import threading
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert, literal, select, text

from app.config import Settings
from app.database import Database
from app.engine import INTEGRITY_ERRORS
from app.errors import Conflict, Unavailable
from tests.conftest import TESTING
from tests.database import DURABLE_SETTINGS, MAKE_READ_ONLY, SLOW_QUERY
from tests.sample_resource import VALUES, Model

pytestmark = pytest.mark.usefixtures("service")


UNSCOPED = {"unscoped": TESTING}
INSERT = insert(Model).values(owner_id="ann", **VALUES).execution_options(**UNSCOPED)
IDS = select(Model.id).execution_options(**UNSCOPED)


async def test_write_is_committed_when_run_returns(database: Database, settings: Settings) -> None:
    await database.run(INSERT)

    other = Database(settings)
    assert len(await other.run(IDS)) == 1
    await other.close()


@pytest.mark.parametrize(("query", "expected"), DURABLE_SETTINGS.items())
async def test_each_connection_commits_durably(
    database: Database, query: str, expected: dict[str, Any]
) -> None:
    results = await asyncio.gather(*(database.run(text(query)) for _ in range(3)))

    assert results == [[expected]] * 3


async def test_failed_transaction_writes_nothing(database: Database) -> None:
    with pytest.raises(Conflict):
        await _insert_twice_in_one_transaction(database)

    assert await database.run(IDS) == []


async def _insert_twice_in_one_transaction(database: Database) -> None:
    twice = INSERT.values(id=uuid4())
    async with database.transaction() as transaction:
        await transaction.run(twice)
        await transaction.run(twice)


async def test_duplicate_key_raises_conflict(database: Database) -> None:
    twice = INSERT.values(id=uuid4())
    await database.run(twice)

    with pytest.raises(Conflict, match="already exists"):
        await database.run(twice)


async def test_missing_value_raises_the_drivers_error(database: Database) -> None:
    with pytest.raises(INTEGRITY_ERRORS):
        await database.run(INSERT.values(version=None))


async def test_statement_over_its_timeout_raises_unavailable(settings: Settings) -> None:
    short = {"database_statement_timeout_seconds": 0.2}
    database = Database(settings.model_copy(update=short))

    with pytest.raises(Unavailable):
        await database.run(text(SLOW_QUERY))

    assert await database.run(IDS) == []
    await database.close()


async def test_read_only_connection_is_not_reused(settings: Settings) -> None:
    database = Database(settings.model_copy(update={"database_pool_size": 1}))
    await database.run(text(MAKE_READ_ONLY))

    with pytest.raises(Unavailable):
        await database.run(INSERT)

    await asyncio.gather(*(database.run(INSERT) for _ in range(2)))
    assert len(await database.run(IDS)) == 2
    await database.close()


async def test_writes_succeed_once_all_read_only_connections_are_replaced(
    settings: Settings,
) -> None:
    database, threads = Database(settings), set(threading.enumerate())
    await asyncio.gather(*(database.run(text(MAKE_READ_ONLY)) for _ in range(3)))
    for _ in range(4):
        with suppress(Unavailable):
            await database.run(INSERT)

    await database.run(INSERT)
    await database.close()
    for thread in set(threading.enumerate()) - threads:
        thread.join(1)
        assert not thread.is_alive(), "a connection is still open"


async def test_ping_names_the_missing_privileges(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = select(literal("INSERT on tasks").label("missing"))
    monkeypatch.setattr("app.database.missing_privileges", lambda _: missing)
    database = Database(settings)

    with pytest.raises(Unavailable, match="database: the role lacks INSERT on tasks"):
        await database.ping()
    await database.close()
