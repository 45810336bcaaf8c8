"""Transactions are atomic, and repositories can join them."""
# ruff: noqa: PT012 - a transaction that fails is a block of statements

import asyncio
from contextlib import nullcontext, suppress

import pytest
from sqlalchemy import text

from app.config import Settings
from app.database import Database, Runner, Transaction
from app.engine import INTEGRITY_ERRORS
from app.errors import NotFound, Unavailable
from app.repositories.user_data import UserData
from app.security.acting import acting_as
from tests.database import SLOW_QUERY, locked_database
from tests.sample_resource import TEXT, VALUES, Query, Repository

pytestmark = pytest.mark.usefixtures("service")


ANN, BOB = (acting_as(name, reason="a test") for name in ("ann", "bob"))


async def number_of_rows(database: Runner) -> int:
    rows, _ = await Repository(database, ANN).list(Query(limit=100))
    return len(rows)


async def test_changes_are_committed_when_the_block_ends(database: Database) -> None:
    async with database.transaction() as transaction:
        repository = Repository(transaction, ANN)
        first, second = await repository.create(VALUES), await repository.create(VALUES)
        await repository.delete(first["id"])
        changed = await repository.update(second["id"], VALUES, frozenset({1}))

    assert await Repository(database, ANN).get(second["id"]) == changed
    assert await number_of_rows(database) == 1


async def test_uncommitted_row_is_visible_in_its_transaction_only(database: Database) -> None:
    async with database.transaction() as transaction:
        await Repository(transaction, ANN).create(VALUES)

        assert await number_of_rows(transaction) == 1
        assert await number_of_rows(database) == 0


@pytest.mark.parametrize(
    "error", [NotFound, Unavailable("x"), OSError("of the block"), KeyboardInterrupt]
)
async def test_exception_rolls_back_and_is_raised_unchanged(
    database: Database, error: BaseException | type[BaseException]
) -> None:
    with pytest.raises(error if isinstance(error, type) else type(error)) as raised:
        async with database.transaction() as transaction:
            await Repository(transaction, ANN).create(VALUES)
            raise error

    assert isinstance(error, type) or raised.value is error
    assert await number_of_rows(database) == 0


async def test_cancellation_rolls_back(database: Database) -> None:
    has_written = asyncio.Event()

    async def write_and_wait() -> None:
        async with database.transaction() as transaction:
            await Repository(transaction, ANN).create(VALUES)
            has_written.set()
            await asyncio.Event().wait()

    writing = asyncio.create_task(write_and_wait())
    await has_written.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing

    await Repository(database, ANN).create(VALUES)
    assert await number_of_rows(database) == 1


async def test_failed_statement_rolls_back_even_if_caught(
    database: Database,
) -> None:
    async def violate_a_constraint(transaction: Transaction) -> None:
        await Repository(transaction, ANN).create({})

    with pytest.raises(INTEGRITY_ERRORS):
        async with database.transaction() as transaction:
            await Repository(transaction, ANN).create(VALUES)
            with suppress(*INTEGRITY_ERRORS):
                await violate_a_constraint(transaction)

    assert await number_of_rows(database) == 0


async def test_canceled_statement_rolls_back_even_if_caught(
    database: Database,
) -> None:
    with pytest.raises(Unavailable, match="canceled"):
        async with database.transaction() as transaction:
            await Repository(transaction, ANN).create(VALUES)
            with suppress(TimeoutError):
                await asyncio.wait_for(transaction.run(text(SLOW_QUERY)), 0.05)

    assert await number_of_rows(database) == 0


async def test_not_found_does_not_roll_back(database: Database) -> None:
    async with database.transaction() as transaction:
        repository = Repository(transaction, ANN)
        row = await repository.create(VALUES)
        with pytest.raises(NotFound):
            await Repository(transaction, BOB).get(row["id"])

    assert await number_of_rows(database) == 1


async def test_nested_transaction_joins_the_outer_one(database: Database) -> None:
    async with database.transaction() as transaction:
        await Repository(transaction, ANN).create(VALUES)
        await UserData(transaction, ANN).erase()
        await Repository(transaction, ANN).create(VALUES)

    assert await number_of_rows(database) == 1


async def test_exception_in_a_nested_transaction_rolls_back_all_of_it(
    database: Database,
) -> None:
    with pytest.raises(NotFound):
        async with database.transaction() as transaction:
            await Repository(transaction, ANN).create(VALUES)
            with suppress(NotFound):
                async with transaction.transaction():
                    raise NotFound

    assert await number_of_rows(database) == 0


async def test_use_after_the_end_raises_runtime_error(database: Database) -> None:
    async with database.transaction() as transaction:
        repository = Repository(transaction, ANN)

    with pytest.raises(RuntimeError, match="has ended"):
        await repository.create(VALUES)

    assert await number_of_rows(database) == 0


@pytest.mark.parametrize("caught", [False, True])
async def test_transaction_over_its_deadline_rolls_back(settings: Settings, caught: bool) -> None:
    database = Database(settings.model_copy(update={"database_statement_timeout_seconds": 0.2}))

    with pytest.raises(Unavailable, match="the transaction took too long"):
        async with database.transaction() as transaction:
            await Repository(transaction, ANN).create(VALUES)
            with suppress(asyncio.CancelledError) if caught else nullcontext():
                await asyncio.Event().wait()

    assert await number_of_rows(database) == 0
    await database.close()


def test_transaction_on_a_locked_database_raises_unavailable(
    settings: Settings, database_url: str
) -> None:
    hasty = settings.model_copy(update={"database_statement_timeout_seconds": 0.2})

    async def write(database: Database) -> None:
        try:
            async with database.transaction() as transaction:
                await Repository(transaction, ANN).create(VALUES)
        finally:
            await database.close()

    with locked_database(database_url), pytest.raises(Unavailable):
        asyncio.run(write(Database(hasty)))
    asyncio.run(write(Database(settings)))


async def test_concurrent_transactions_keep_each_others_changes(database: Database) -> None:
    row = await Repository(database, ANN).create(VALUES)

    async def change() -> None:
        async with database.transaction() as transaction:
            anns = Repository(transaction, ANN)
            before = await anns.get(row["id"])
            await asyncio.sleep(0.05)
            await anns.update(row["id"], {TEXT: before[TEXT] + "+"})

    outcomes = await asyncio.gather(*(change() for _ in range(3)), return_exceptions=True)

    assert {type(outcome) for outcome in outcomes} <= {type(None), Unavailable}
    after = await Repository(database, ANN).get(row["id"])
    assert after[TEXT].count("+") == outcomes.count(None) > 0


async def test_statements_of_a_transaction_take_turns(database: Database) -> None:
    async with database.transaction() as transaction:
        repository = Repository(transaction, ANN)
        await asyncio.gather(*(repository.create(VALUES) for _ in range(5)))
        not_awaited = [asyncio.ensure_future(repository.create(VALUES)) for _ in range(2)]
        await asyncio.sleep(0)
    await asyncio.gather(*not_awaited)

    assert await number_of_rows(database) == 7
