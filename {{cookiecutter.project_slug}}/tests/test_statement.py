"""`Database.run` runs any SQLAlchemy expression, and converts values by column type."""

import enum
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Date,
    Enum,
    Float,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Uuid,
    bindparam,
    column,
    delete,
    func,
    insert,
    null,
    select,
    text,
    update,
)

from app.database import Database
from app.engine import UtcDateTime
from app.security.acting import acting_as
from tests.database import COLUMN_TYPES
from tests.engines import engine_for


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"


METADATA = MetaData()
SAMPLES = Table(
    "samples",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", String(20), default="unnamed", onupdate=lambda: "renamed"),
    Column("parent", Integer),
)
AT = datetime(2026, 7, 1, 12, 30, 15, 123456, timezone(timedelta(hours=2)))
VALUES: list[tuple[Any, Any]] = [
    (JSON(), {"a": [1, None, "ä"], "b": {}}),
    (JSON(), [True, 1.5]),
    (Numeric(12, 3), Decimal("-123456.789")),
    (Float(), 0.1),
    (Enum(Color), Color.GREEN),
    (Enum("red", "green", name="shade"), "red"),
    (LargeBinary(), b"\x00\xff"),
    (Date(), date(2026, 2, 28)),
    (Interval(), timedelta(days=-1, microseconds=5)),
    (Uuid(), UUID("018f0000-0000-7000-8000-000000000001")),
    (Boolean(), True),
    (UtcDateTime(), AT),
    *COLUMN_TYPES,
]


@pytest.fixture
async def samples(database: Database, database_url: str) -> AsyncIterator[Database]:
    engine = engine_for(database_url)
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    await database.run(insert(SAMPLES).values([{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]))
    yield database
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.drop_all)
    await engine.dispose()


@pytest.mark.parametrize(("column_type", "value"), VALUES, ids=str)
async def test_values_of_each_column_type_are_read_as_written(
    database: Database, database_url: str, column_type: Any, value: Any
) -> None:
    metadata = MetaData()
    table = Table(
        "typed", metadata, Column("id", Integer, primary_key=True), Column("it", column_type)
    )
    engine = engine_for(database_url)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)

    try:
        returned = await database.run(insert(table).values(it=value).returning(table.c.it))
        await database.run(insert(table).values(it=null()))
        read = await database.run(select(table.c.it).order_by(table.c.id))
    finally:
        async with engine.begin() as connection:
            await connection.run_sync(metadata.drop_all)
        await engine.dispose()

    assert returned == [{"it": value}]
    assert read == [{"it": value}, {"it": None}]


async def test_timestamps_are_returned_in_utc(database: Database) -> None:
    rows = await database.run(select(bindparam("at", AT, type_=UtcDateTime()).label("at")))

    assert [row["at"].isoformat() for row in rows] == ["2026-07-01T10:30:15.123456+00:00"]


async def test_timestamp_without_time_zone_raises_value_error(database: Database) -> None:
    with pytest.raises(ValueError, match="time zone"):
        await database.run(select(bindparam("at", AT.replace(tzinfo=None), type_=UtcDateTime())))


async def test_column_defaults_apply(samples: Database) -> None:
    add = insert(SAMPLES).values(id=bindparam("number")).returning(SAMPLES.c.name)
    rename = update(SAMPLES).values(parent=1).where(SAMPLES.c.id == 3).returning(SAMPLES.c.name)

    assert await samples.run(add, {"number": 3}) == [{"name": "unnamed"}]
    assert await samples.run(add, {"number": 4, "name": "given"}) == [{"name": "given"}]
    assert await samples.run(rename) == [{"name": "renamed"}]


async def test_in_accepts_a_fixed_list_or_a_list_parameter(samples: Database) -> None:
    fixed = select(SAMPLES.c.id).where(SAMPLES.c.name.in_(["b", "c"]))
    given = select(SAMPLES.c.id).where(SAMPLES.c.name.in_(bindparam("names", expanding=True)))

    assert await samples.run(fixed) == [{"id": 2}]
    assert await samples.run(given, {"names": ["a"]}) == [{"id": 1}]
    assert len(await samples.run(given, {"names": ["a", "b"]})) == 2
    assert await samples.run(given, {"names": []}) == []


async def test_rows_are_keyed_by_the_names_in_the_select_list(samples: Database) -> None:
    child = SAMPLES.alias("child")
    joined = (
        select(SAMPLES.c.id, child.c.name.label("child"), func.count().label("number"))
        .join(child, child.c.id == SAMPLES.c.id + 1)
        .group_by(SAMPLES.c.id, child.c.name)
    )

    assert await samples.run(joined) == [{"id": 1, "child": "b", "number": 1}]
    assert await samples.run(text("SELECT 1 AS one, :two AS two").bindparams(two="2")) == [
        {"one": 1, "two": "2"}
    ]


async def test_statement_without_rows_returns_an_empty_list(samples: Database) -> None:
    assert await samples.run(delete(SAMPLES)) == []


async def test_missing_or_unknown_parameter_raises_type_error(samples: Database) -> None:
    by_name = select(SAMPLES.c.id).where(SAMPLES.c.name == bindparam("name"))

    with pytest.raises(TypeError, match="no value for the parameter 'name'"):
        await samples.run(by_name)
    with pytest.raises(TypeError, match="no such parameters: nmae"):
        await samples.run(by_name, {"name": "a", "nmae": "a"})


async def test_owner_among_the_values_raises_type_error(samples: Database) -> None:
    with pytest.raises(TypeError, match="pass `owner`"):
        await samples.run(select(SAMPLES.c.id), {"owner_": "bob"})
    with pytest.raises(TypeError, match="no such parameters: owner_"):
        await samples.run(select(SAMPLES.c.id), owner=acting_as("ann", reason="a test"))


async def test_types_of_text_apply_by_name(samples: Database) -> None:
    named = text("SELECT name, id, 1 AS flag FROM samples WHERE id = 1").columns(flag=Boolean)
    placed = text("SELECT id, 1 AS flag FROM samples WHERE id = 1").columns(
        SAMPLES.c.id, column("x", Boolean)
    )

    assert await samples.run(named) == [{"name": "a", "id": 1, "flag": True}]
    assert await samples.run(placed) == [{"id": 1, "flag": True}]


async def test_columns_with_the_same_name_are_rejected(samples: Database) -> None:
    with pytest.raises(TypeError, match="the same name"):
        await samples.run(text("SELECT 1 AS a, 2 AS a"))


async def test_parameters_may_be_computed_or_literal(samples: Database) -> None:
    computed = bindparam("computed", callable_=lambda: 1, type_=Integer)
    literal = bindparam("literal", "b", type_=String, literal_execute=True)

    assert await samples.run(select(SAMPLES.c.name).where(SAMPLES.c.id == computed)) == [
        {"name": "a"}
    ]
    assert await samples.run(select(SAMPLES.c.id).where(SAMPLES.c.name == literal)) == [{"id": 2}]
