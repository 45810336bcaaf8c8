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
from tests.database import BY_INDEX, plans_of, users_stored_with
from tests.engines import engine_for
from tests.sample_resource import BODY, FILTER, PATH, TEXT, VALUES, Model, create

OWNER = "ann-the-owner"
# Reading whole tables, sorting, and on Citus several shards.
OTHER_WAYS = r"Seq Scan|SCAN|Sort|TEMP B-TREE|Task Count: (?!1\b)"


@pytest.fixture
def run_by_the_service(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Sequence[Any]]]:
    """Return a list that gets each statement with its arguments, as the driver gets it."""
    statements: list[tuple[str, Sequence[Any]]] = []
    bind = Statement.bind

    def bind_and_note(statement: Statement, values: Mapping[str, Any]) -> tuple[str, Sequence[Any]]:
        statements.append(bind(statement, values))
        return statements[-1]

    monkeypatch.setattr(Statement, "bind", bind_and_note)
    return statements


def use_everything(ann: httpx2.Client) -> None:
    row = create(ann)
    create(ann)
    here, etag = f"{PATH}/{row['id']}", {"If-Match": '"1"'}
    cursor = ann.get(PATH, params={"limit": 1}).json()["next_cursor"]
    for query in ({}, {"cursor": cursor}, FILTER, {"cursor": cursor} | FILTER):
        assert ann.get(PATH, params=query).status_code == 200
    assert ann.get(here).status_code == 200
    assert ann.patch(here, json={TEXT: "y"}, headers=etag).status_code == 200
    assert ann.patch(here, json={TEXT: "x"} | BODY).status_code == 200
    assert ann.patch(here, json={TEXT: "z"}, headers=etag).status_code == 412
    assert ann.delete(here, headers=etag).status_code == 412
    assert ann.delete(here).status_code == 204
    assert ann.get(f"{PATH}/{uuid4()}").status_code == 404
    assert ann.delete("/api/v1/me").status_code == 204


def test_each_statement_names_the_owner(
    sign_in: SignIn, run_by_the_service: list[tuple[str, Sequence[Any]]]
) -> None:
    use_everything(sign_in(OWNER))

    assert len(run_by_the_service) > 10
    for statement, parameters in run_by_the_service:
        assert "owner_id" in statement
        assert OWNER in parameters


async def test_each_statement_finds_its_rows_by_an_index(
    sign_in: SignIn, database_url: str, run_by_the_service: list[tuple[str, Sequence[Any]]]
) -> None:
    users = await users_stored_with(OWNER, Model.__tablename__, database_url)
    others = [{"owner_id": users[n % len(users)], **VALUES} for n in range(5_000)]
    engine = engine_for(database_url)
    async with engine.begin() as connection:
        await connection.execute(insert(Model), others)
    await engine.dispose()
    run_by_the_service.clear()
    use_everything(sign_in(OWNER))
    # A table that is empty may well be read whole, so those of the filled one alone.
    here = [one for one in run_by_the_service if Model.__tablename__ in one[0]]
    read = {one: tuple(values) for one, values in here if not one.startswith("INSERT")}

    plans = await plans_of(database_url, read)
    assert len(plans) > 8
    for statement, plan in plans.items():
        assert re.search(BY_INDEX, plan), (statement, plan)
        assert not re.search(OTHER_WAYS, plan), (statement, plan)
