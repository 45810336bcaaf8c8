"""A repository never reaches a row of another user, whatever keys and values it is given."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, literal_column, select, text, true

from app.config import Settings
from app.database import Database
from app.models.base import OWNER
from app.repositories.user_data import UserData
from app.security.acting import acting_as
from tests.conftest import TESTING
from tests.sample_resource import TEXT, VALUES, Model, Query, Repository

pytestmark = pytest.mark.usefixtures("service")

ANN, BOB = (acting_as(name, reason="a test") for name in ("ann", "bob"))
ALL = select(Model).execution_options(unscoped=TESTING)
QUERY = Query.model_fields


class Text(str):
    """A subclass of str."""

    __slots__ = ()


class Disguised(Text):
    """A string that compares equal to the name of a text column, but is `owner_id`."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return other == TEXT

    def __hash__(self) -> int:
        return hash(TEXT)


OTHER_KEYS: list[Any] = [
    *("owner_id", "owner_", "id", "id_", "version", "version_0_", "created_at", "updated_at"),
    *("limit_", "cursor_", "", " ", TEXT.upper(), f"{TEXT} ", f"{TEXT}\0", f"{TEXT} = 'x' --"),
    *(Text("owner_id"), Text("owner_"), Disguised("owner_id"), None, 1, TEXT.encode(), (TEXT,)),
    *(Model.owner_id, getattr(Model, TEXT), Model.__table__.c.owner_id, text(TEXT), OWNER),
]
"""Keys that are not the resource's own columns."""

UNUSUAL: list[Any] = [
    *(None, True, 0, -1, 1.5, float("nan"), 10**30, -(10**30), b"x", "", "\0", "\ud800", "bob"),
    *("x" * 1_000, "' OR 1 = 1 --", [], {}, [1], {"owner_id": "bob"}, object(), UUID(int=0)),
    *(OWNER, Model.id, Model.owner_id, text("1"), true(), literal_column("1 OR 1 = 1")),
    *(func.now(), select(Model.id).scalar_subquery(), Text("bob"), Disguised("owner_id"), BOB),
]
"""Values that are passed as every column and argument."""


def numbered(values: list[Any]) -> list[str]:
    return [f"{number} {type(value).__name__}" for number, value in enumerate(values)]


class Users:
    """Ann's repository, in a database where Ann and Bob have three rows each."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.anns = Repository(database, ANN)
        self.ids: dict[str, list[UUID]] = {}

    async def rows(self, owner: str) -> list[Any]:
        rows = await self.database.run(ALL)
        assert {row["owner_id"] for row in rows} <= {"ann", "bob"}
        return sorted((row for row in rows if row["owner_id"] == owner), key=lambda row: row["id"])

    async def attack(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Run a call that may fail, but must not return one of Bob's rows."""
        try:
            returned = await call()
        except Exception:
            return
        for row in returned[0] if isinstance(returned, tuple) else [returned or {}]:
            assert row.get("id") not in self.ids["bob"]


@pytest.fixture
async def users(settings: Settings) -> AsyncIterator[Users]:
    """Yield both users, then check that Bob's rows have not changed."""
    database = Database(settings)
    users = Users(database)
    for user in (ANN, BOB):
        created = [await Repository(database, user).create(VALUES) for _ in range(3)]
        users.ids[user.id] = [row["id"] for row in created]
    before = await users.rows("bob")
    yield users
    assert await users.rows("bob") == before
    await database.close()


@pytest.mark.parametrize("key", OTHER_KEYS, ids=numbered(OTHER_KEYS))
async def test_key_that_is_not_an_own_column_raises_type_error(users: Users, key: Any) -> None:
    anns, before = users.anns, await users.rows("ann")
    mine = users.ids["ann"][0]

    for values in ({key: "bob"}, {**VALUES, key: "bob"}, {key: "bob", **VALUES}):
        if not any(name is key for name in values):
            continue  # it equals a key that the dictionary already has
        for call in (
            anns.create(values),
            anns.update(mine, values),
            anns.update(mine, values, frozenset({1})),
        ):
            with pytest.raises(TypeError):
                await call

    assert await users.rows("ann") == before


@pytest.mark.parametrize("value", UNUSUAL, ids=numbered(UNUSUAL))
async def test_no_value_reaches_rows_of_another_user(users: Users, value: Any) -> None:
    anns, mine, bobs = users.anns, users.ids["ann"][0], users.ids["bob"][0]
    odd: dict[str, Any] = {**VALUES, TEXT: value}

    calls: list[Callable[[], Coroutine[Any, Any, Any]]] = [
        lambda: anns.create(odd),
        lambda: anns.update(mine, odd),
        lambda: anns.update(mine, odd, frozenset({1, 2})),
        lambda: anns.update(value, VALUES),
        lambda: anns.update(bobs, odd),
        lambda: anns.update(bobs, VALUES, value),
        lambda: anns.update(bobs, VALUES, frozenset({1, value})),
        lambda: anns.update(mine, VALUES, value),
        lambda: anns.get(value),
        *(partial(anns.list, Query.model_construct(**{name: value})) for name in QUERY),
        lambda: anns.delete(bobs, value),
        lambda: anns.delete(value),
        lambda: anns.create(value),
        lambda: anns.update(mine, value),
    ]
    for call in calls:
        await users.attack(call)


async def test_very_long_text_reaches_no_row_of_another_user(users: Users) -> None:
    long = {**VALUES, TEXT: "x" * 10_000_000}

    await users.attack(lambda: users.anns.create(long))
    await users.attack(lambda: users.anns.update(users.ids["bob"][0], long))


async def test_id_of_another_user_in_any_format_finds_no_row(users: Users) -> None:
    for bobs in users.ids["bob"]:
        for form in (bobs, str(bobs), bobs.hex, bobs.bytes, bobs.int, Text(bobs)):
            odd: Any = form
            for call in (
                partial(users.anns.get, odd),
                partial(users.anns.update, odd, VALUES),
                partial(users.anns.delete, odd, frozenset({1})),
                partial(users.anns.delete, odd),
                partial(users.anns.list, Query.model_construct(cursor=odd)),
            ):
                await users.attack(call)


@pytest.mark.parametrize("owner", ["ann", "", None, SimpleNamespace(id="bob"), OWNER], ids=repr)
async def test_owner_that_is_not_a_user_raises_type_error(users: Users, owner: Any) -> None:
    mine = select(Model.id).where(Model.owner_id == OWNER)

    with pytest.raises(TypeError):
        await users.database.run(mine, owner=owner)
    with pytest.raises(TypeError):
        Repository(users.database, owner)
    with pytest.raises(TypeError):
        UserData(users.database, owner)


@pytest.mark.slow
async def test_canceled_repository_calls_touch_no_row_of_another_user(users: Users) -> None:
    chance = random.Random(1)  # noqa: S311 - not for secrets

    async def one_call() -> Any:
        one = chance.choice([*users.ids["ann"], *users.ids["bob"], uuid4()])
        async with users.database.transaction() as transaction:
            anns = Repository(transaction if chance.random() < 0.5 else users.database, ANN)
            calls: list[Callable[[], Coroutine[Any, Any, Any]]] = [
                partial(anns.create, VALUES),
                partial(anns.update, one, VALUES),
                partial(anns.update, one, VALUES, frozenset({1})),
                partial(anns.delete, one, frozenset({1})),
                partial(anns.list, Query(cursor=one)),
                UserData(users.database, ANN).erase,
            ]
            return await chance.choice(calls)()

    calls = [asyncio.create_task(users.attack(one_call)) for _ in range(100)]
    for call in calls:
        await asyncio.sleep(chance.random() / 500)
        if chance.random() < 0.5:
            call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)

    assert (await users.anns.create(VALUES))["version"] == 1
