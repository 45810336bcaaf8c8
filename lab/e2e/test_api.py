"""The service accepts tokens of Better Auth, in all main combinations."""

import secrets

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lab.e2e.stack import Stack
from lab.e2e.users import PASSWORD, TASKS, parts


def test_api_accepts_a_token_of_better_auth(stack: Stack) -> None:
    ann = stack.sign_up("Ann")

    task = ann.add("Water the tomatoes")
    path = f"{TASKS}/{task['id']}"
    changed = ann.call("PATCH", path, json={"completed": True})
    listed = ann.call("GET", TASKS)
    deleted = ann.call("DELETE", path)

    assert changed.status_code == 200
    assert listed.json()["items"] == [changed.json()]
    assert changed.json().items() >= {"title": "Water the tomatoes", "completed": True}.items()
    assert deleted.status_code == 204
    assert ann.titles() == []


def test_users_cannot_see_tasks_of_others(stack: Stack) -> None:
    ann, bob = stack.sign_up("Ann"), stack.sign_up("Bob")
    path = f"{TASKS}/{ann.add('Mine')['id']}"

    answers = [bob.call("GET", path), bob.call("PATCH", path, json={}), bob.call("DELETE", path)]

    assert {answer.status_code for answer in answers} == {404}
    assert bob.titles() == []
    assert ann.titles() == ["Mine"]


def test_token_signed_with_another_key_is_rejected(stack: Stack) -> None:
    ann = stack.sign_up("Ann")
    token = ann.token()
    header, claims = parts(token)
    other = {"HS256": secrets.token_urlsafe(48), "EdDSA": Ed25519PrivateKey.generate()}
    forged = jwt.encode(claims, other[header["alg"]], header["alg"], header)

    assert ann.call("GET", TASKS, token=forged).status_code == 401
    assert ann.call("GET", TASKS, token=token).status_code == 200


def test_no_token_without_a_session(stack: Stack) -> None:
    ann = stack.sign_up("Ann")
    ann.auth("/sign-out")

    assert ann.site.get("/api/auth/token").status_code == 401


def test_deleting_the_account_in_better_auth_erases_its_tasks(stack: Stack) -> None:
    ann, bob = stack.sign_up("Ann"), stack.sign_up("Bob")
    ann.add("To be gone")
    bob.add("To stay")
    token = ann.token()

    ann.auth("/delete-user", password=PASSWORD)

    assert ann.titles(token=token) == []
    assert bob.titles() == ["To stay"]
