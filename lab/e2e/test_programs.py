"""What programs can do with an API key or the device flow, as docs/authorization.md says."""

import os
import re
import subprocess
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from lab.e2e.browser_user import browsing
from lab.e2e.programs import Program, connect, with_key, with_session
from lab.e2e.stack import Stack
from lab.e2e.users import PASSWORD, TASKS, User, parts

# Some endpoints that accept other sessions, including some that require no fresh session or no
# password.
OTHER_ENDPOINTS = [
    ("POST", "/api-key/create", {"name": "Another"}),
    ("GET", "/api-key/list", None),
    ("GET", "/list-sessions", None),
    ("POST", "/revoke-sessions", {}),
    ("POST", "/update-user", {"name": "Eve"}),
    ("POST", "/change-password", {"currentPassword": PASSWORD, "newPassword": "incorrect horse"}),
    ("POST", "/delete-user", {}),
    ("GET", "/admin/list-users", None),
]


@pytest.fixture
def ann(authorization: Stack) -> User:
    return authorization.sign_up("Ann")


@pytest.fixture(params=["by key", "by device flow"])
def program(request: pytest.FixtureRequest, authorization: Stack, ann: User) -> Program:
    if request.param == "by key":
        return with_key(authorization, ann.create_key()["key"])
    return connect(authorization, ann)


def test_program_gets_the_users_own_token(ann: User, program: Program) -> None:
    token = program.token()

    assert parts(token)[1].keys() == parts(ann.token())[1].keys()
    assert parts(token)[1]["sub"] == ann.id
    created = ann.call("POST", TASKS, token=token, json={"title": "By a program"})
    assert created.status_code == 201
    assert ann.titles() == ["By a program"]


def test_program_cannot_use_other_endpoints_of_better_auth(ann: User, program: Program) -> None:
    responses = [program.send(*request) for request in OTHER_ENDPOINTS]

    assert {response.status_code for response in responses} == {401}
    assert program.send("GET", "/get-session").json() is None
    assert ann.sign_in().json()["user"]["name"] == "Ann"


def test_banned_user_gets_no_tokens(authorization: Stack, ann: User, program: Program) -> None:
    authorization.administrator().auth("/admin/ban-user", userId=ann.id)

    assert program.fetch_token().status_code in (401, 403)


def test_program_of_a_removed_user_gets_no_tokens(ann: User, program: Program) -> None:
    ann.auth("/delete-user", password=PASSWORD)

    assert program.fetch_token().status_code == 401


def test_api_rejects_session_tokens_and_api_keys(authorization: Stack, ann: User) -> None:
    secrets = [ann.create_key()["key"], ann.session()["token"]]

    assert {ann.call("GET", TASKS, token=secret).status_code for secret in secrets} == {401}


def test_key_works_after_signing_out(authorization: Stack, ann: User) -> None:
    program = with_key(authorization, ann.create_key()["key"])

    ann.auth("/sign-out")

    assert program.fetch_token().status_code == 200


def test_unknown_disabled_expired_and_deleted_keys_get_no_tokens(
    authorization: Stack, ann: User
) -> None:
    disabled, expired, deleted = (ann.create_key() for _ in range(3))
    ann.auth("/api-key/update", keyId=disabled["id"], enabled=False)
    authorization.change_auth(
        "UPDATE apikey SET expiresAt = '2020-01-01' WHERE id = ?", expired["id"]
    )
    ann.auth("/api-key/delete", keyId=deleted["id"])

    keys = [disabled["key"], expired["key"], deleted["key"], "x" * 64]
    responses = [with_key(authorization, key).fetch_token() for key in keys]

    assert [response.status_code for response in responses] == [401] * 4


def test_key_gets_sixty_tokens_in_an_hour(authorization: Stack, ann: User) -> None:
    program = with_key(authorization, ann.create_key()["key"])

    statuses = [program.fetch_token().status_code for _ in range(60)]
    refused = program.fetch_token()

    assert set(statuses) == {200}
    assert (refused.status_code, refused.json()["code"]) == (429, "RATE_LIMITED")


def test_device_code_is_for_a_known_program_and_the_first_user_who_opens_it(
    authorization: Stack, ann: User
) -> None:
    program, bob = Program(authorization.site_url), authorization.sign_up("Bob")

    unknown = program.send("POST", "/device/code", {"client_id": "other"})
    flow = program.ask()
    pending, too_soon = program.poll(flow), program.poll(flow)
    ann.site.get("/api/auth/device", params={"user_code": flow["user_code"]})
    by_bob = bob.site.post("/api/auth/device/approve", json={"userCode": flow["user_code"]})

    assert (unknown.status_code, unknown.json()["error"]) == (400, "invalid_client")
    assert (pending.status_code, pending.json()["error"]) == (400, "authorization_pending")
    assert (too_soon.status_code, too_soon.json()["error"]) == (400, "slow_down")
    assert by_bob.status_code == 403


def test_denied_expired_and_used_device_codes_give_no_session(
    authorization: Stack, ann: User
) -> None:
    program = Program(authorization.site_url)
    denied, expired, used = (program.ask() for _ in range(3))
    ann.decide(denied["user_code"], "deny")
    authorization.change_auth(
        "UPDATE deviceCode SET expiresAt = '2020-01-01' WHERE userCode = ?",
        expired["user_code"],
    )
    ann.decide(used["user_code"], "approve")
    assert program.poll(used).status_code == 200

    errors = [program.poll(flow).json()["error"] for flow in (denied, expired, used)]

    assert errors == ["access_denied", "expired_token", "invalid_grant"]


def test_session_of_a_program_is_extended_without_a_cookie(authorization: Stack, ann: User) -> None:
    program, user_id = connect(authorization, ann), ann.id
    ann.auth("/sign-out")
    set_expiry = "UPDATE session SET expiresAt = ? WHERE userId = ?"
    soon = f"{datetime.now(UTC) + timedelta(days=5):%Y-%m-%dT%H:%M:%S}.000Z"
    authorization.change_auth(set_expiry, soon, user_id)

    response = program.fetch_token()

    assert response.status_code == 200
    assert "set-cookie" not in response.headers
    authorization.change_auth(f"{set_expiry} AND expiresAt > ?", soon, user_id, soon)


def test_sign_in_does_not_expose_the_session_to_scripts_of_the_page(ann: User) -> None:
    assert "set-auth-token" not in ann.sign_in().headers


def command_line(stack: Stack, home: Path) -> AbstractContextManager[subprocess.Popen[str]]:
    """Run the program in docs/authorization.md, for a user whose home folder is `home`."""
    return stack.program("-m", "scripts.task_cli", stack.site_url, stack.api_url, HOME=str(home))


def instructions(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Return the URL and the code that the program prints."""
    assert process.stdout
    text = process.stdout.readline() + process.stdout.readline()
    [found] = re.findall(r"^Open (\S+)\nand check that it shows (\w+)\.\n$", text)
    return found


def test_command_line_program_prints_the_tasks_of_the_user_who_allows_it(
    authorization: Stack, ann: User, browser: Browser, axe: str, tmp_path: Path
) -> None:
    ann.add("Book the train")

    with (
        command_line(authorization, tmp_path) as process,
        browsing(browser, authorization, axe, ann) as browser_user,
    ):
        address, code = instructions(process)
        browser_user.page.goto(address)
        browser_user.check_accessibility()
        browser_user.click("Continue")
        browser_user.expect_text(f"shows the code {code}")
        browser_user.expect_text(ann.email)
        browser_user.check_accessibility()
        browser_user.click("Allow")
        browser_user.expect_text("task-cli can now use your account.")
        first = process.communicate(timeout=30)[0]
    with command_line(authorization, tmp_path) as process:
        second = process.communicate(timeout=30)[0]
    [session] = tmp_path.iterdir()
    mode = session.stat().st_mode & 0o777
    with_session(authorization, session.read_text()).send("POST", "/sign-out", {})
    with command_line(authorization, tmp_path) as process:
        signing_in_again = instructions(process)

    assert first == second == "Book the train\n"
    assert mode == 0o600
    assert signing_in_again[1] != code


def test_user_mistypes_the_code_and_then_denies_the_program(
    authorization: Stack, ann: User, browser: Browser, axe: str, tmp_path: Path
) -> None:
    with (
        command_line(authorization, tmp_path) as process,
        browsing(browser, authorization, axe, ann) as browser_user,
    ):
        _, code = instructions(process)
        browser_user.open("/device")
        browser_user.fill_in("Code", "WRONGWRO")
        browser_user.click("Continue")
        browser_user.expect_text("This code is not valid.")
        browser_user.check_accessibility()
        browser_user.expect_console_error("400")
        browser_user.fill_in("Code", f"{code[:4]}-{code[4:].lower()}")
        browser_user.click("Continue")
        browser_user.click("Deny")
        browser_user.expect_text("task-cli was denied.")
        errors = process.communicate(timeout=30)[1]

    assert process.returncode == 1
    assert errors == "Not signed in: access_denied\n"
    assert os.listdir(tmp_path) == []


def test_device_page_asks_users_to_sign_in_first(
    authorization: Stack, browser: Browser, axe: str
) -> None:
    with browsing(browser, authorization, axe, authorization.user("Stranger")) as browser_user:
        browser_user.open("/device?user_code=ABCDEFGH")
        browser_user.expect_text("Sign in in a new tab")
        browser_user.check_accessibility()
