"""Removing a user in Better Auth also erases their tasks, or the whole account stays."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import httpx2
import pytest

from lab.e2e.stack import Stack
from lab.e2e.users import PASSWORD, User
from tests.rendering import RenderedProject

SCRIPT = """
process.loadEnvFile(".env.local");
const { auth } = await import("./lib/auth");

const [id, action] = process.argv.slice(2);
const { adapter, internalAdapter } = await auth.$context;
try {
  if (action === "remove") await internalAdapter.deleteUser(id);
  else await adapter.delete({ model: "user", where: [{ field: "id", value: id }] });
  console.log("null");
} catch ({ statusCode, body }) {
  console.log(JSON.stringify([statusCode, body.code]));
}
process.exit();
"""

FAILED = [503, "TASKS_NOT_DELETED"]
KEPT = "The account was kept, because its tasks could not be deleted. Try again later."

# The status and code of the error, or None.
Outcome = list[object] | None
Remove = Callable[[Stack, User], Outcome]


def run_script(stack: Stack, user_id: str, action: Literal["remove", "delete row"]) -> Outcome:
    script = stack.frontend / "users.ts"
    script.write_text(SCRIPT)
    command = f"npx --no jiti {script.name} {user_id} '{action}'"
    output = RenderedProject(stack.frontend).run(command)
    return json.loads(output.splitlines()[-1])


def outcome(response: httpx2.Response) -> Outcome:
    if response.is_success:
        return None
    assert response.json()["message"] == KEPT
    return [response.status_code, response.json()["code"]]


def by_user(_: Stack, user: User) -> Outcome:
    return outcome(user.site.post("/api/auth/delete-user", json={"password": PASSWORD}))


def by_administrator(stack: Stack, user: User) -> Outcome:
    body = {"userId": user.id}
    administrator = stack.administrator()
    return outcome(administrator.site.post("/api/auth/admin/remove-user", json=body))


def by_script(stack: Stack, user: User) -> Outcome:
    return run_script(stack, user.id, "remove")


WAYS = pytest.mark.parametrize("remove", [by_user, by_administrator, by_script])


@contextmanager
def service_stopped(stack: Stack) -> Iterator[None]:
    stack.service.stop()
    try:
        yield
    finally:
        stack.service.start()


@WAYS
def test_removing_a_user_erases_their_tasks(authorization: Stack, remove: Remove) -> None:
    ann, bob = authorization.sign_up("Ann"), authorization.sign_up("Bob")
    ann.add("To be gone")
    bob.add("To stay")
    token = ann.token()

    assert remove(authorization, ann) is None

    assert ann.titles(token=token) == []
    assert ann.sign_in().status_code == 401
    assert bob.titles() == ["To stay"]


@WAYS
def test_account_sessions_and_tasks_stay_if_the_service_is_down(
    authorization: Stack, remove: Remove
) -> None:
    ann = authorization.sign_up("Ann")
    ann.add("To stay")
    session = ann.session()

    with service_stopped(authorization):
        failed = remove(authorization, ann)

    assert failed == FAILED
    assert ann.session() == session
    assert ann.titles() == ["To stay"]
    assert ann.sign_in().status_code == 200


@pytest.fixture
def guest(authorization: Stack) -> User:
    """An anonymous user."""
    guest = authorization.user("Guest")
    guest.auth("/sign-in/anonymous")
    return guest


def test_removing_an_anonymous_user_erases_their_tasks_or_keeps_the_account(
    authorization: Stack, guest: User
) -> None:
    guest.add("To be gone")
    token = guest.token()

    with service_stopped(authorization):
        failed = guest.site.post("/api/auth/delete-anonymous-user", json={})
    kept = guest.titles()
    guest.auth("/delete-anonymous-user")

    assert failed.status_code == 500
    assert kept == ["To be gone"]
    assert guest.titles(token=token) == []


def test_signing_up_erases_the_tasks_of_the_anonymous_user(guest: User) -> None:
    guest.add("To be gone")
    token = guest.token()

    guest.sign_up()

    assert guest.titles(token=token) == []


def test_anonymous_user_can_sign_up_while_the_service_is_down(
    authorization: Stack, guest: User
) -> None:
    guest.add("To stay")
    token = guest.token()

    with service_stopped(authorization):
        guest.sign_up()

    assert guest.titles(token=token) == ["To stay"]
    assert guest.titles() == []


def test_tasks_of_a_user_whose_row_was_deleted_can_be_erased_later(authorization: Stack) -> None:
    ann = authorization.sign_up("Ann")
    ann.add("To be gone")
    user_id, token = ann.id, ann.token()

    assert run_script(authorization, user_id, "delete row") is None
    left = ann.titles(token=token)
    assert run_script(authorization, user_id, "remove") is None

    assert left == ["To be gone"]
    assert ann.titles(token=token) == []


@pytest.mark.parametrize("path", ["sign-jwt", "sign-j-w-t", "signJWT", "jwt/sign", "sign"])
def test_no_endpoint_signs_a_token_for_another_user(authorization: Stack, path: str) -> None:
    ann, bob = authorization.sign_up("Ann"), authorization.sign_up("Bob")
    body = {"payload": {"sub": bob.id}}

    responses = [
        ann.site.post(f"/api/auth/{path}", json=body),
        ann.site.get(f"/api/auth/{path}", params=body["payload"]),
    ]

    assert {response.status_code for response in responses} == {404}
