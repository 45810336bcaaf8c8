"""Every statement names its owner and finds its rows by an index that begins with the owner."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import insert

from app.statement import Statement
from tests.conftest import SignIn
from tests.database import USES_INDEX, explain, users_on_the_shard_of
from tests.engines import engine_for
from tests.sample_resource import BODY, FILTER, PATH, TEXT, VALUES, Model, create

OWNER = "ann-the-owner"
# Plans that read whole tables, sort, or on Citus query several shards.
READS_TOO_MUCH = r"Seq Scan|SCAN|Sort|TEMP B-TREE|Task Count: (?!1\b)"


@pytest.fixture
def executed_statements(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Sequence[Any]]]:
    """Return a list to which each statement is added, with its arguments, as the driver gets it."""
    statements: list[tuple[str, Sequence[Any]]] = []
    bind = Statement.bind

    def bind_and_record(
        statement: Statement, values: Mapping[str, Any]
    ) -> tuple[str, Sequence[Any]]:
        statements.append(bind(statement, values))
        return statements[-1]

    monkeypatch.setattr(Statement, "bind", bind_and_record)
    return statements


def use_every_operation(ann: httpx2.Client) -> None:
    row = create(ann)
    create(ann)
    url, etag = f"{PATH}/{row['id']}", {"If-Match": '"1"'}
    cursor = ann.get(PATH, params={"limit": 1}).json()["next_cursor"]
    for query in ({}, {"cursor": cursor}, FILTER, {"cursor": cursor} | FILTER):
        assert ann.get(PATH, params=query).status_code == 200
    assert ann.get(url).status_code == 200
    assert ann.patch(url, json={TEXT: "y"}, headers=etag).status_code == 200
    assert ann.patch(url, json={TEXT: "x"} | BODY).status_code == 200
    assert ann.patch(url, json={TEXT: "z"}, headers=etag).status_code == 412
    assert ann.delete(url, headers=etag).status_code == 412
    assert ann.delete(url).status_code == 204
    assert ann.get(f"{PATH}/{uuid4()}").status_code == 404
    assert ann.delete("/api/v1/me").status_code == 204


def test_each_statement_names_the_owner(
    sign_in: SignIn, executed_statements: list[tuple[str, Sequence[Any]]]
) -> None:
    use_every_operation(sign_in(OWNER))

    assert len(executed_statements) > 10
    for statement, parameters in executed_statements:
        assert "owner_id" in statement
        assert OWNER in parameters


async def test_each_statement_finds_its_rows_by_an_index(
    sign_in: SignIn, database_url: str, executed_statements: list[tuple[str, Sequence[Any]]]
) -> None:
    users = await users_on_the_shard_of(OWNER, Model.__tablename__, database_url)
    others = [{"owner_id": users[n % len(users)], **VALUES} for n in range(5_000)]
    engine = engine_for(database_url)
    async with engine.begin() as connection:
        await connection.execute(insert(Model), others)
    await engine.dispose()
    executed_statements.clear()
    use_every_operation(sign_in(OWNER))
    # Only statements on the filled table, because the database may scan an empty one.
    queries = {
        sql: tuple(values)
        for sql, values in executed_statements
        if Model.__tablename__ in sql and not sql.startswith("INSERT")
    }

    plans = await explain(database_url, queries)
    assert len(plans) > 8
    for statement, plan in plans.items():
        assert re.search(USES_INDEX, plan), (statement, plan)
        assert not re.search(READS_TOO_MUCH, plan), (statement, plan)
