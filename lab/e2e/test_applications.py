"""What applications and their users can rely on, as docs/authorization.md says."""

import re
import subprocess
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from lab.e2e.applications import Application
from lab.e2e.browser_user import browsing
from lab.e2e.stack import Stack
from lab.e2e.users import PASSWORD, TASKS, User
from tests.rendering import RenderedProject

# The frontend has the same pages in both modes.
once = pytest.mark.parametrize("mode", ["shared-secret"], indirect=True, scope="session")


@pytest.fixture(scope="module")
def application(authorization: Stack) -> Application:
    return authorization.application()


@pytest.fixture
def ann(authorization: Stack) -> User:
    return authorization.sign_up("Ann")


def test_application_with_tasks_read_can_list_but_not_add_tasks(
    ann: User, application: Application
) -> None:
    ann.add("Ann's")
    token = application.tokens(ann, "tasks:read")["access_token"]

    titles = ann.titles(token=token)
    refused = ann.call("POST", TASKS, token=token, json={"title": "Not Ann's"})

    assert titles == ["Ann's"]
    assert refused.status_code == 403
    assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]
    assert 'scope="tasks:write"' in refused.headers["WWW-Authenticate"]
    assert ann.titles() == ["Ann's"]


def test_applications_tokens_cannot_fetch_the_users_own_token(
    authorization: Stack, ann: User, application: Application
) -> None:
    tokens = application.tokens(ann, "tasks:read tasks:write offline_access")
    stranger = authorization.user("Stranger")

    for token in (tokens["access_token"], tokens["refresh_token"]):
        headers = {"Authorization": f"Bearer {token}"}
        assert stranger.site.get("/api/auth/token", headers=headers).status_code == 401


def test_application_gets_no_tokens_after_its_consent_was_removed(
    ann: User, application: Application
) -> None:
    tokens = application.tokens(ann, "tasks:read offline_access")
    refreshed = application.grant("refresh_token", refresh_token=tokens["refresh_token"])
    tokens = refreshed.raise_for_status().json()
    [consent] = ann.site.get("/api/auth/oauth2/get-consents").json()

    ann.auth("/oauth2/delete-consent", id=consent["id"])
    refused = application.grant("refresh_token", refresh_token=tokens["refresh_token"])

    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert application.ask(ann, "tasks:read", prompt="none")["error"] == "consent_required"
    # The access token works until it expires, after at most five minutes.
    assert ann.call("GET", TASKS, token=tokens["access_token"]).status_code == 200
    assert tokens["expires_in"] <= 300


def test_consent_of_one_user_does_not_cover_another(
    authorization: Stack, ann: User, application: Application
) -> None:
    application.tokens(ann, "tasks:read")
    bob = authorization.sign_up("Bob")

    assert application.ask(bob, "tasks:read", prompt="none")["error"] == "consent_required"


def test_application_can_request_the_scopes_of_a_new_resource(
    ann: User, application: Application
) -> None:
    token = application.tokens(ann, "notes:read")["access_token"]

    assert ann.call("GET", "/api/v1/notes", token=token).status_code == 200
    assert ann.call("GET", TASKS, token=token).status_code == 403


@pytest.fixture
def printer(authorization: Stack) -> Iterator[subprocess.Popen[str]]:
    """The program in docs/authorization.md, which waits for a user."""
    url = authorization.api_url + TASKS
    with authorization.program("-m", "scripts.oauth_client", url) as process:
        yield process


@once
def test_signed_out_user_signs_in_and_allows_access(
    authorization: Stack, browser: Browser, axe: str, printer: subprocess.Popen[str]
) -> None:
    ann = authorization.sign_up("Ann")
    ann.add("Book the train")
    [address] = re.findall(r"^Open (.*)$", printer.stdout.readline())

    with browsing(browser, authorization, axe, authorization.user("Stranger")) as browser_user:
        browser_user.page.goto(address)
        for page, link in (("sign-up", "Create an account"), ("sign-in", "Sign in")):
            browser_user.page.get_by_role("link", name=link).click()
            browser_user.page.wait_for_url(f"**/{page}?**")
        browser_user.fill_in("Email", ann.email)
        browser_user.fill_in("Password", PASSWORD)
        browser_user.click("Sign in")
        browser_user.expect_text("Allow access?")
        browser_user.expect_text("See your tasks")
        browser_user.expect_text("127.0.0.1")
        browser_user.check_accessibility()
        browser_user.click("Allow")
        browser_user.expect_text("You can close this page.")

    assert printer.communicate(timeout=10)[0] == "Book the train\n"


@once
def test_user_denies_access(
    authorization: Stack, browser: Browser, axe: str, printer: subprocess.Popen[str]
) -> None:
    [address] = re.findall(r"^Open (.*)$", printer.stdout.readline())

    with browsing(browser, authorization, axe, authorization.sign_up("Ann")) as browser_user:
        browser_user.page.goto(address)
        browser_user.click("Deny")
        browser_user.expect_text("You can close this page.")

    assert printer.wait(timeout=10) == 1


@once
@pytest.mark.parametrize("command", ["lint", "typecheck"])
def test_frontend_passes_its_checks(authorization: Stack, command: str) -> None:
    RenderedProject(authorization.frontend).run(f"npm run {command}")
