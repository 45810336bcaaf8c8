"""A row can only refer to rows of its owner, and a referenced row cannot be deleted."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import (
    Column,
    Index,
    MetaData,
    String,
    Table,
    Uuid,
    insert,
    select,
)

from app.database import Database
from app.engine import TABLE_OPTIONS
from app.errors import MissingReference, StillReferenced, Unavailable
from app.models import Base
from app.models.base import OwnedBase, owned_index, owned_reference
from app.repositories import user_data
from app.repositories.user_data import UserData
from app.security.acting import acting_as
from app.security.verifier import User
from tests.conftest import TESTING
from tests.engines import create_table, engine_for
from tests.sample_resource import VALUES, Model, Repository

ANN, BOB = (acting_as(name, reason="a test") for name in ("ann", "bob"))

METADATA = MetaData(naming_convention=Base.metadata.naming_convention)
Model.__table__.to_metadata(METADATA)
REFERRING = Table(
    "referring",
    METADATA,
    Column("owner_id", String(255), primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("sample_id", Uuid, nullable=False),
    Column("text", String(200)),
    owned_reference("sample_id", Model.__tablename__),
    owned_index("sample_id"),
    owned_index("text", for_prefixes=True),
)


@pytest.fixture
async def referring(
    database_url: str,
    service: str,  # noqa: ARG001 - empties the tables after this one is dropped
) -> AsyncIterator[None]:
    """Create a table with a reference to the sample resource, and drop it afterwards."""
    engine = engine_for(database_url)
    async with engine.begin() as connection:
        await connection.run_sync(create_table, REFERRING)
    yield
    async with engine.begin() as connection:
        await connection.run_sync(REFERRING.drop)
    await engine.dispose()


async def refer(database: Database, user: User, sample: UUID) -> None:
    values = {"owner_id": user.id, "id": uuid4(), "sample_id": sample}
    await database.run(insert(REFERRING).values(values).execution_options(unscoped=TESTING))


@pytest.mark.usefixtures("referring")
async def test_references_to_missing_and_other_users_rows_raise_the_same_error(
    database: Database,
) -> None:
    bobs = await Repository(database, BOB).create(VALUES)

    errors = []
    for sample in (bobs["id"], uuid4()):
        with pytest.raises(MissingReference) as raised:
            await refer(database, ANN, sample)
        errors.append((raised.value.status, raised.value.detail, raised.value.reason))

    assert errors[0] == errors[1]


@pytest.mark.usefixtures("referring")
async def test_deleting_a_referenced_row_raises_still_referenced(database: Database) -> None:
    samples = Repository(database, ANN)
    row = await samples.create(VALUES)
    await refer(database, ANN, row["id"])

    for versions in (None, frozenset({1})):
        with pytest.raises(StillReferenced):
            await samples.delete(row["id"], versions)

    assert await samples.get(row["id"]) == row


@pytest.mark.usefixtures("referring")
async def test_erase_deletes_nothing_if_a_referring_row_was_added(database: Database) -> None:
    samples = Repository(database, ANN)
    row = await samples.create(VALUES)
    await refer(database, ANN, row["id"])

    with pytest.raises(Unavailable, match="was added"):
        await UserData(database, ANN).erase()

    assert await samples.get(row["id"]) == row


@pytest.fixture
async def chained(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Table]:
    """Create a table with a chain of rows, the only one from which rows are erased."""
    metadata = MetaData()
    table = Table(
        "chained",
        metadata,
        Column("owner_id", String(255), primary_key=True),
        Column("id", Uuid, primary_key=True),
        Column("parent_id", Uuid),
        owned_reference("parent_id", "chained", ondelete="CASCADE"),
    )
    monkeypatch.setattr(user_data, "Base", SimpleNamespace(metadata=metadata))
    monkeypatch.setattr(user_data, "_deletions", user_data._deletions.__wrapped__)
    ids = [uuid4() for _ in range(1_100)]  # SQLite follows 1,000
    rows = [
        {"owner_id": ANN.id, "id": one, "parent_id": parent}
        for one, parent in zip(ids, [None, *ids], strict=False)
    ]
    engine = engine_for(database_url)
    async with engine.begin() as connection:
        await connection.run_sync(create_table, table)
        await connection.execute(insert(table), rows)
    yield table
    async with engine.begin() as connection:
        await connection.run_sync(table.drop)
    await engine.dispose()


async def test_long_chain_of_rows_is_erased(database: Database, chained: Table) -> None:
    await UserData(database, ANN).erase()

    rows = select(chained).execution_options(unscoped=TESTING)
    assert await database.run(rows) == []


def names(table: Table) -> list[str]:
    keys: list[Any] = [*table.constraints, *table.indexes]
    return [key.name for key in keys]


def test_names_of_keys_and_indexes_are_unique() -> None:
    of_tables = [name for table in Base.metadata.sorted_tables for name in names(table)]

    assert len({name[:63] for name in of_tables}) == len(of_tables)


def test_names_of_keys_of_similar_tables_and_columns_differ() -> None:
    metadata = MetaData(naming_convention=Base.metadata.naming_convention)
    columns = ("owner_id", "a", "a_b", "b", "b_c", "c")
    tables = [
        Table(
            name,
            metadata,
            *(Column(column, String, primary_key=column == "owner_id") for column in columns),
            *(Index(None, "owner_id", *rest) for rest in (["a", "b"], ["a_b"], ["b_c"], ["c"])),
        )
        for name in ("x", "x_a", "x_owner_id")
    ]

    assert len({name for table in tables for name in names(table)}) == 3 * 5


@pytest.mark.parametrize("name", ["owner_id", "id", "version", "created_at", "updated_at"])
@pytest.mark.parametrize("annotated", [True, False])
def test_field_named_like_a_column_of_every_owned_table_raises_type_error(
    name: str, annotated: bool
) -> None:
    members: dict[str, Any] = {"__annotations__": {name: str}} if annotated else {name: None}

    with pytest.raises(TypeError, match=f"Wrong.{name}: every owned table has"):
        type("Wrong", (OwnedBase,), {"__tablename__": "wrong", **members})


@pytest.mark.parametrize("table", Base.metadata.sorted_tables, ids=str)
def test_owned_tables_have_the_options_of_the_database(table: Table) -> None:
    assert TABLE_OPTIONS.items() <= dict(table.dialect_kwargs).items()


@pytest.mark.parametrize("options", [{}, TABLE_OPTIONS, {"comment": "x"}])
def test_options_in_table_args_do_not_replace_those_of_the_database(
    options: dict[str, Any],
) -> None:
    table = OwnedBase.__table_cls__("x", MetaData(), **options)

    assert TABLE_OPTIONS.items() <= dict(table.dialect_kwargs).items()
    assert table.comment == options.get("comment")
