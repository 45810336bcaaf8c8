"""Users reach only their own rows: two users, real tokens, every method."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import PrimaryKeyConstraint, Table, UniqueConstraint

from app.config import PROJECT
from app.models import Base
from app.security.verifier import User
from tests.conftest import TESTING
from tests.resources import RESOURCES
from tests.sample_resource import PATH, TEXT, create

# Indexes for unscoped statements.
FOR_ALL_USERS = {"ix_idempotency_keys__created_at"}


@pytest.fixture(params=RESOURCES, ids=str)
def anns_url(request: pytest.FixtureRequest, ann: httpx2.Client) -> Iterator[str]:
    """Yield the URL of one of Ann's rows, and check that the test has not changed it."""
    url = request.param.url(request.param.create(ann))
    before = ann.get(url).json()
    yield url
    assert ann.get(url).json() == before


@pytest.mark.parametrize("table", Base.metadata.sorted_tables, ids=str)
def test_every_key_and_index_begins_with_the_owner(table: Table) -> None:
    first = [key.columns.keys()[0] for key in table.indexes if key.name not in FOR_ALL_USERS]
    for key in table.constraints:
        if isinstance(key, PrimaryKeyConstraint | UniqueConstraint):
            first.append(key.columns.keys()[0])

    assert {*first} == {"owner_id"}


@pytest.mark.parametrize("table", Base.metadata.sorted_tables, ids=str)
def test_every_reference_to_an_owned_table_carries_the_owner(table: Table) -> None:
    for key in table.foreign_key_constraints:
        if "owner_id" in key.referred_table.columns:
            pairs = [(part.parent.name, part.column.name) for part in key.elements]
            assert ("owner_id", "owner_id") in pairs, f"use owned_reference for {key.column_keys}"


def without_request_id(response: httpx2.Response) -> tuple[int, Any, dict[str, str]]:
    body = {**response.json(), "request_id": None}
    ignored = ("x-request-id", "date")
    headers = {name: value for name, value in response.headers.items() if name not in ignored}
    return response.status_code, body, headers


@pytest.mark.parametrize("if_match", [None, '"1"', '"2"', "*"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_other_users_row_looks_missing(
    anns_url: str, bob: httpx2.Client, method: str, if_match: str | None
) -> None:
    missing = f"{anns_url.rpartition('/')[0]}/{uuid4()}"
    headers = {"If-Match": if_match} if if_match else {}
    body: dict[str, str] | None = {} if method == "PATCH" else None

    foreign = bob.request(method, anns_url, json=body, headers=headers)
    absent = bob.request(method, missing, json=body, headers=headers)

    assert foreign.status_code == 404
    assert without_request_id(foreign) == without_request_id(absent)


@pytest.mark.parametrize("respell", [str.upper, lambda url: url.replace("-", "")])
def test_other_users_row_returns_404_for_every_uuid_format(
    anns_url: str, bob: httpx2.Client, respell: Any
) -> None:
    collection, _, row_id = anns_url.rpartition("/")

    assert bob.get(f"{collection}/{respell(row_id)}").status_code == 404


def test_list_has_only_the_callers_rows(anns_url: str, bob: httpx2.Client) -> None:
    assert bob.get(anns_url.rpartition("/")[0]).json()["items"] == []


def test_other_users_cursor_returns_only_the_callers_rows(
    ann: httpx2.Client, bob: httpx2.Client
) -> None:
    bobs = create(bob)
    for _ in range(3):
        create(ann)
    cursor = ann.get(PATH, params={"limit": 1}).json()["next_cursor"]

    page = bob.get(PATH, params={"cursor": cursor}).json()

    assert page == {"items": [bobs], "next_cursor": None}


@pytest.mark.usefixtures("anns_url")
def test_account_deletion_keeps_the_rows_of_other_users(bob: httpx2.Client) -> None:
    for _ in range(3):
        create(bob)

    response = bob.delete("/api/v1/me")

    assert (response.status_code, response.content) == (204, b"")
    assert bob.get(PATH).json()["items"] == []
    assert bob.delete("/api/v1/me").status_code == 204


@pytest.mark.parametrize(
    "headers",
    [
        {"X-User-Id": "ann"},
        {"X-Forwarded-User": "ann"},
        {"X-Remote-User": "ann"},
        {"Cookie": "user=ann; better-auth.session_token=ann"},
        {"X-HTTP-Method-Override": "DELETE"},
    ],
    ids=str,
)
def test_headers_cookies_and_parameters_do_not_change_the_user(
    anns_url: str, bob: httpx2.Client, headers: dict[str, str]
) -> None:
    response = bob.get(anns_url, headers=headers, params={"sub": "ann", "user_id": "ann"})

    assert response.status_code == 404


def test_only_one_of_many_parallel_deletes_succeeds(ann: httpx2.Client) -> None:
    url = f"{PATH}/{create(ann)['id']}"

    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(lambda _: ann.delete(url).status_code, range(20)))

    assert sorted(statuses) == [204] + [404] * 19


def test_parallel_requests_of_two_users_never_mix(ann: httpx2.Client, bob: httpx2.Client) -> None:
    def create_and_list(number: int) -> bool:
        name, user = ("ann", ann) if number % 2 else ("bob", bob)
        create(user, **{TEXT: name})
        return {row[TEXT] for row in user.get(PATH).json()["items"]} == {name}

    with ThreadPoolExecutor(10) as pool:
        assert all(pool.map(create_and_list, range(50)))


def test_only_one_of_many_parallel_patches_of_one_version_succeeds(ann: httpx2.Client) -> None:
    url = f"{PATH}/{create(ann)['id']}"

    def change(number: int) -> int:
        headers = {"If-Match": '"1"'}
        return ann.patch(url, json={TEXT: str(number)}, headers=headers).status_code

    with ThreadPoolExecutor(10) as pool:
        assert sorted(pool.map(change, range(10))) == [200] + [412] * 9


def test_user_cannot_be_created_outside_the_verifier() -> None:
    with pytest.raises(TypeError):
        User("ann", object())


def test_user_cannot_be_subclassed() -> None:
    with pytest.raises(TypeError, match="no subclasses"):
        type("Forged", (User,), {})


def test_app_never_uses_the_unscoped_reason_reserved_for_tests() -> None:
    code = [path.read_text() for path in (PROJECT / "app").rglob("*.py")]

    assert not any(TESTING in text for text in code)
