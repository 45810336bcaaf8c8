"""A POST request that is repeated with the same `Idempotency-Key` takes effect once."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID, uuid4

import httpx2
import pytest
from fastapi import BackgroundTasks, Depends, Response
from fastapi.responses import StreamingResponse
from sqlalchemy import select

from app.config import Settings
from app.database import Database
from app.dependencies import owned
from app.errors import Unavailable
from app.main import create_app
from app.models.idempotency_key import IdempotencyKey
from app.repositories import idempotency_keys
from app.repositories.idempotency_keys import IdempotencyKeys
from app.repositories.user_data import UserData
from app.routers import idempotency
from app.routers.api import api_router
from app.security.acting import acting_as
from tests.conftest import NO_TLS, TESTING, SignIn, serve
from tests.issuer import Issuer
from tests.resources import RESOURCES
from tests.resources.resource import Resource
from tests.sample_resource import BODY, PATH, READ, SAMPLE, TEXT, Repository
from tests.test_http import is_problem
from tests.tokens import token

ID = f'"{uuid4()}"'


def post(client: httpx2.Client, key: str = ID, /, **fields: Any) -> httpx2.Response:
    return client.post(PATH, json=BODY | fields, headers={"Idempotency-Key": key})


def same(first: httpx2.Response, second: httpx2.Response) -> bool:
    """Return whether two responses differ only in their time and request id."""
    ignored = {"date", "x-request-id"}
    one, other = (
        (each.status_code, {*each.headers.items()}, each.content) for each in (first, second)
    )
    differing = {name for name, _ in one[1] ^ other[1]}
    return one[0] == other[0] and one[2] == other[2] and differing <= ignored


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Make requests set the first event and wait for the second before they create a row."""
    create, arrived, go_on = Repository.create, threading.Event(), threading.Event()

    async def create_later(*arguments: Any) -> Any:
        arrived.set()
        await asyncio.to_thread(go_on.wait)
        return await create(*arguments)

    monkeypatch.setattr(Repository, "create", create_later)
    yield arrived, go_on
    go_on.set()


@pytest.mark.parametrize("resource", RESOURCES, ids=str)
def test_repeated_request_gets_the_same_response_and_creates_one_row(
    ann: httpx2.Client, resource: Resource
) -> None:
    body = resource.body(ann)
    request = ann.build_request("POST", resource.path, json=body, headers={"Idempotency-Key": ID})

    first, second = ann.send(request), ann.send(request)

    assert first.status_code == 201
    assert same(first, second)
    assert [row["id"] for row in resource.all(ann)] == [first.json()["id"]]


def test_response_stays_the_same_after_the_row_has_changed(ann: httpx2.Client) -> None:
    first = post(ann)
    ann.patch(first.headers["Location"], json={TEXT: "changed"})
    second = post(ann)
    ann.delete(first.headers["Location"])

    assert same(first, second)
    assert same(first, post(ann))
    assert SAMPLE.all(ann) == []


def test_requests_with_different_keys_create_different_rows(ann: httpx2.Client) -> None:
    keys = ['"a"', '"A"', '"a "', '" a"', "b", '"!"', f'"{255 * "x"}"', "2026-11-26T00:00:00Z"]

    ids = {post(ann, key).json()["id"] for key in keys}

    assert len(ids) == len(keys) == len(SAMPLE.all(ann))


def test_quotes_around_a_key_may_be_left_out(ann: httpx2.Client) -> None:
    assert same(post(ann, f'"{ID[1:-1]}"'), post(ann, ID[1:-1]))


@pytest.mark.parametrize(
    "keys",
    [
        *([""], ['""'], ['"'], ['"a'], ['a"'], ["a b"], ['"a"b'], ['"a" "b"'], ["a, b"]),
        *(['"a";b=c'], [r'"a\"b"'], ["é"], ['"é"'], ['"a\tb"'], [256 * "a"], [f'"{256 * "a"}"']),
        *(['"a"', '"a"'], ['"a"', '"b"'], ['"a"', ""]),
    ],
    ids=repr,
)
def test_malformed_or_repeated_key_returns_400(ann: httpx2.Client, keys: list[str]) -> None:
    headers = [(b"Idempotency-Key", key.encode("latin-1")) for key in keys]

    response = ann.post(PATH, json=BODY, headers=headers)

    assert is_problem(response, 400)
    assert "Idempotency-Key" in response.json()["detail"]
    assert SAMPLE.all(ann) == []


def test_key_reused_for_another_request_returns_422(ann: httpx2.Client) -> None:
    post(ann)

    others = [
        post(ann, **{TEXT: "other"}),
        ann.post(f"{PATH}?other=1", json=BODY, headers={"Idempotency-Key": ID}),
    ]

    for response in others:
        assert is_problem(response, 422)
        [error] = response.json()["errors"]
        assert error["loc"] == ["header", "Idempotency-Key"]
        assert error["type"] == "idempotency_key_reused"
    assert len(SAMPLE.all(ann)) == 1


def test_users_do_not_share_keys(ann: httpx2.Client, bob: httpx2.Client) -> None:
    anns, bobs = post(ann), post(bob, **{TEXT: "other"})

    assert bobs.status_code == 201
    assert bobs.json()["id"] != anns.json()["id"]
    assert same(anns, post(ann))
    assert same(bobs, post(bob, **{TEXT: "other"}))


def test_stored_response_requires_the_same_rights(ann: httpx2.Client, sign_in: SignIn) -> None:
    post(ann)

    assert post(sign_in("ann", scope=READ)).status_code == 403
    assert post(sign_in("ann", exp=1)).status_code == 401


def test_request_returns_409_while_another_with_its_key_is_handled(
    ann: httpx2.Client, held: tuple[threading.Event, threading.Event]
) -> None:
    arrived, go_on = held
    with ThreadPoolExecutor() as pool:
        first = pool.submit(post, ann)
        arrived.wait()
        during = post(ann)
        go_on.set()

    assert is_problem(during, 409)
    assert during.headers["Retry-After"] == "1"
    assert same(first.result(), post(ann))
    assert len(SAMPLE.all(ann)) == 1


class Forgetful(set[Any]):
    """Keys of running requests, as seen by a service in which each request has its own process."""

    def add(self, _: Any) -> None:
        pass


def test_processes_that_handle_a_key_at_once_create_one_row(
    ann: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "_in_progress", Forgetful())

    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: post(ann), range(8)))

    assert all(same(responses[0], response) for response in responses)
    assert responses[0].status_code == 201
    assert len(SAMPLE.all(ann)) == 1


def test_rejected_request_leaves_its_key_unused(ann: httpx2.Client) -> None:
    assert post(ann, **{TEXT: None}).status_code == 422

    assert post(ann).status_code == 201


def test_row_is_not_created_if_the_response_cannot_be_stored(
    ann: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        raise Unavailable("database: gone")

    with monkeypatch.context() as patch:
        patch.setattr(IdempotencyKeys, "add", fail)
        assert post(ann).status_code == 503

    assert SAMPLE.all(ann) == []
    assert post(ann).status_code == 201


@pytest.mark.usefixtures("service")
def test_error_response_of_a_handler_is_not_stored(settings: Settings, issuer: Issuer) -> None:
    statuses = iter([400, 200, 500])
    router = api_router("/odd")
    router.post("")(lambda: Response(b"\xff", next(statuses), {"X-Odd": "\xff"}))
    app = create_app(settings)
    app.include_router(router)
    headers = {"Authorization": f"Bearer {token(issuer)}", "Idempotency-Key": ID}

    with serve(app) as base_url:
        url = f"{base_url}/api/v1/odd"
        responses = [httpx2.post(url, headers=headers, verify=NO_TLS) for _ in range(3)]

    assert [response.status_code for response in responses] == [400, 200, 200]
    assert same(*responses[1:])
    assert (responses[2].headers["X-Odd"], responses[2].content) == ("\xff", b"\xff")


Rows = Annotated[Any, Depends(owned(Repository))]


async def create_and_fail(rows: Rows) -> Response:
    await rows.create(BODY)
    return Response("no", 409)


@pytest.mark.usefixtures("service")
def test_error_response_of_a_handler_changes_nothing(settings: Settings, issuer: Issuer) -> None:
    router = api_router("/odd")
    router.post("")(create_and_fail)
    app = create_app(settings)
    app.include_router(router)
    headers = {"Authorization": f"Bearer {token(issuer)}", "Idempotency-Key": ID}

    with serve(app) as base_url, httpx2.Client(base_url=base_url, headers=headers) as client:
        responses = [client.post("/api/v1/odd") for _ in range(2)]
        rows = SAMPLE.all(client)

    assert [(each.status_code, each.content) for each in responses] == [(409, b"no")] * 2
    assert rows == []


async def take(id: UUID, rows: Rows) -> dict[str, bool]:
    await rows.delete(id)
    return {"taken": True}


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize("prunes", [False, True])
def test_background_task_of_a_handler_runs_once_and_after_the_commit(
    settings: Settings, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, prunes: bool
) -> None:
    monkeypatch.setattr(idempotency, "randbelow", lambda _: int(not prunes))
    app, seen = create_app(settings), []

    async def look(id: UUID) -> None:
        owner = acting_as("ann", reason="test")
        seen.append(await Repository(app.state.database, owner).get(id))

    router = api_router("/notified")

    @router.post("", status_code=202)
    async def create_and_notify(rows: Rows, background: BackgroundTasks) -> None:
        background.add_task(look, (await rows.create(BODY))["id"])

    app.include_router(router)
    headers = {"Authorization": f"Bearer {token(issuer, sub='ann')}", "Idempotency-Key": ID}
    with serve(app) as base_url, httpx2.Client(base_url=base_url, headers=headers) as ann:
        statuses = [ann.post("/api/v1/notified").status_code for _ in range(2)]

    assert statuses == [202, 202]
    assert [row[TEXT] for row in seen] == [BODY[TEXT]]


async def rows_changed_at_exit(rows: Rows) -> AsyncIterator[Repository]:
    yield rows
    await rows.create(BODY)


def test_repositories_of_a_request_work_after_its_transaction_too(
    settings: Settings, issuer: Issuer, ann: httpx2.Client
) -> None:
    """As they do without a key: in a background task, and in the exit of a dependency."""
    app, router = create_app(settings), api_router("/later")

    @router.post("", status_code=202)
    async def create_later(
        rows: Annotated[Repository, Depends(rows_changed_at_exit)], background: BackgroundTasks
    ) -> None:
        background.add_task(rows.create, BODY)
        background.add_task(UserData(rows._database, rows._owner).erase)

    app.include_router(router)
    headers = {"Authorization": f"Bearer {token(issuer, sub='ann')}", "Idempotency-Key": ID}
    with serve(app) as base_url, httpx2.Client(base_url=base_url, headers=headers) as client:
        assert client.post("/api/v1/later").status_code == 202

    # Only the row of the exit, which follows the background tasks.
    assert len(ann.get(PATH).json()["items"]) == 1


@pytest.mark.usefixtures("service")
def test_stream_is_stored_whole_even_if_the_client_disconnects(
    settings: Settings, issuer: Issuer
) -> None:
    app, router, go_on = create_app(settings), api_router("/streamed"), threading.Event()

    async def parts() -> AsyncIterator[str]:
        yield "first "
        await asyncio.to_thread(go_on.wait)
        yield "last"

    @router.post("")
    async def stream() -> StreamingResponse:
        return StreamingResponse(parts())

    app.include_router(router)
    headers = {"Authorization": f"Bearer {token(issuer, sub='ann')}", "Idempotency-Key": ID}
    with serve(app) as base_url, httpx2.Client(base_url=base_url, headers=headers) as ann:
        with pytest.raises(httpx2.ReadTimeout):
            ann.post("/api/v1/streamed", timeout=0.3)
        time.sleep(0.1)  # until the server notices
        go_on.set()
        while (response := ann.post("/api/v1/streamed")).status_code == 409:
            time.sleep(0.01)

    assert response.text == "first last"


@pytest.mark.usefixtures("service")
def test_error_that_follows_from_the_first_attempt_is_not_returned(
    settings: Settings, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process handles the request after the key was looked up, before the transaction."""
    router = api_router("/odd")
    router.post("/{id}")(take)
    headers, key = {"Authorization": f"Bearer {token(issuer)}"}, {"Idempotency-Key": ID}
    apps = [create_app(settings), create_app(settings)]
    first: list[httpx2.Response] = []
    respond = idempotency._handle_and_store

    async def respond_later(*arguments: Any) -> Any:
        monkeypatch.setattr(idempotency, "_handle_and_store", respond)
        first.append(await asyncio.to_thread(clients[1].post, url, headers=key))
        return await respond(*arguments)

    with ExitStack() as stack:
        clients = []
        for app in apps:
            app.include_router(router)
            client = httpx2.Client(base_url=stack.enter_context(serve(app)), headers=headers)
            clients.append(stack.enter_context(client))
        url = f"/api/v1/odd/{SAMPLE.create(clients[0])['id']}"
        monkeypatch.setattr(idempotency, "_in_progress", Forgetful())
        monkeypatch.setattr(idempotency, "_handle_and_store", respond_later)
        second = clients[0].post(url, headers=key)

    assert first[0].status_code == 200
    assert same(first[0], second)


@pytest.mark.usefixtures("service")
def test_request_with_an_incomplete_body_has_no_effect(settings: Settings, issuer: Issuer) -> None:
    router, calls = api_router("/odd"), []
    router.post("")(lambda: calls.append("called"))
    app = create_app(settings)
    app.include_router(router)
    headers = {"Authorization": f"Bearer {token(issuer)}", "Idempotency-Key": ID}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())

    with serve(app) as base_url:
        url = httpx2.URL(base_url)
        with socket.create_connection((url.host, url.port or 80)) as connection:
            connection.sendall(
                f"POST /api/v1/odd HTTP/1.1\r\nHost: x\r\n{head}Content-Type: application/json\r\n"
                "Content-Length: 2\r\n\r\n{".encode()
            )
            time.sleep(0.1)  # the handler waits for the rest
        time.sleep(0.3)
        response = httpx2.post(f"{url}/api/v1/odd", json={}, headers=headers, verify=NO_TLS)

    assert response.status_code == 200
    assert calls == ["called"]


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_key_has_no_effect_on_other_methods(ann: httpx2.Client, method: str) -> None:
    url = post(ann).headers["Location"]
    body = {TEXT: "changed"} if method == "PATCH" else None

    response = ann.request(method, url, json=body, headers={"Idempotency-Key": ID})

    assert response.is_success


async def has_keys(database: Database, number: int) -> bool:
    """Wait until this many keys are stored, because keys are deleted after the response."""
    statement = select(IdempotencyKey.key).execution_options(unscoped=TESTING)
    for _ in range(500):
        if len(await database.run(statement)) == number:
            return True
        await asyncio.sleep(0.01)
    return False


def test_expired_key_can_be_used_again(ann: httpx2.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    first = post(ann)
    monkeypatch.setattr(idempotency_keys, "LIFETIME", timedelta(0))

    second = post(ann, **{TEXT: "other"})

    assert second.status_code == 201
    assert second.json()["id"] != first.json()["id"]


async def test_expired_keys_of_all_users_are_deleted(
    ann: httpx2.Client, bob: httpx2.Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(ann)
    post(bob)
    monkeypatch.setattr(idempotency, "PRUNE_EVERY", 1)
    monkeypatch.setattr(idempotency_keys, "LIFETIME", timedelta(0))

    post(ann, '"other"')

    assert await has_keys(database, 0)


async def test_many_expired_keys_are_deleted_in_parts(
    ann: httpx2.Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        post(ann, f'"{number}"')
    monkeypatch.setattr(idempotency, "PRUNE_EVERY", 1)
    monkeypatch.setattr(idempotency_keys, "LIFETIME", timedelta(0))
    monkeypatch.setattr(idempotency_keys, "MAX_PRUNED", 2)

    post(ann, '"other"')

    assert await has_keys(database, 3)


async def test_oldest_keys_of_a_user_are_deleted_above_the_limit(
    ann: httpx2.Client, bob: httpx2.Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    bobs, anns = post(bob), [post(ann, f'"{number}"') for number in range(5)]
    monkeypatch.setattr(idempotency, "PRUNE_EVERY", 1)
    monkeypatch.setattr(idempotency_keys, "MAX_KEYS", 3)

    assert same(anns[4], post(ann, '"4"'))

    assert await has_keys(database, 4)
    assert same(bobs, post(bob))
    assert [same(anns[number], post(ann, f'"{number}"')) for number in (2, 3, 4)] == 3 * [True]


async def test_keys_are_erased_with_the_user(ann: httpx2.Client, database: Database) -> None:
    post(ann)

    assert ann.delete("/api/v1/me").status_code == 204

    assert await has_keys(database, 0)
    assert post(ann).status_code == 201
