"""What users see, in a real browser: Next in development, and as it is built for production."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from lab.e2e.browser_user import BrowserUser, browsing
from lab.e2e.stack import COMBINATIONS, Stack
from lab.e2e.users import PASSWORD, User
from lab.servers import free_ports
from tests.rendering import ROOT, RenderedProject

TOKEN = "/api/auth/token"
pytestmark = pytest.mark.parametrize(
    "stack", COMBINATIONS[:2], indirect=True, ids="-".join, scope="session"
)

SCREENSHOTS = ROOT / "docs" / "screenshots"

# Not with Playwright's routes, which respond to CORS preflights themselves.
WEAR_OUT_FIRST_TOKEN = """
  const send = window.fetch;
  let done = false;
  window.fetch = (request, options) => {
    if (!done && request.method === "POST") {
      done = true;
      request.headers.set("Authorization", "Bearer worn.out");
    }
    return send(request, options);
  };
"""

Browse = Callable[[User], AbstractContextManager[BrowserUser]]


@pytest.fixture
def browse(browser: Browser, stack: Stack, axe: str) -> Browse:
    """`with browse(user) as browser_user`: fails in the end if the console had an error in it."""
    return partial(browsing, browser, stack, axe)


def photograph(browser_user: BrowserUser, stack: Stack, name: str) -> None:
    """Save a screenshot for the README if requested; not in development, which shows a button."""
    if os.environ.get("E2E_UPDATE") and stack.production:
        browser_user.screenshot(SCREENSHOTS / f"{name}.png")


def test_user_signs_up_and_manages_tasks(stack: Stack, browse: Browse) -> None:
    with browse(stack.user("Ann")) as ann:
        ann.open("/")
        ann.page.wait_for_url("**/sign-in")
        ann.check_accessibility()
        ann.open("/sign-up")
        ann.check_accessibility()
        photograph(ann, stack, "sign-up")
        ann.sign_up()
        ann.expect_text("All clear")
        ann.check_accessibility()

        ann.add_task("Water the tomatoes")
        ann.add_task("Send the invoice to Frida")
        ann.add_task("Book the train")
        ann.page.reload()
        ann.toggle("Send the invoice to Frida")
        ann.click("Edit Book the train")
        ann.page.keyboard.type("Book the train to Vienna")
        ann.check_accessibility()
        ann.page.keyboard.press("Enter")
        expect(ann.task("Book the train to Vienna")).to_be_visible()
        ann.page.reload()
        expect(ann.task("Send the invoice to Frida")).to_be_checked()
        ann.check_accessibility()
        photograph(ann, stack, "tasks")

        ann.click("Delete Book the train to Vienna")
        expect(ann.task("Book the train to Vienna")).to_have_count(0)
        ann.check_accessibility()
        ann.page.reload()
        expect(ann.page.get_by_role("checkbox")).to_have_count(2)
        ann.sign_out()
        ann.open("/")
        ann.page.wait_for_url("**/sign-in")


def test_next_user_of_the_same_browser_sees_no_tasks_of_the_previous_one(
    stack: Stack, browse: Browse
) -> None:
    ann, bob = stack.sign_up("Ann"), stack.sign_up("Bob")
    with browse(ann) as browser_user:
        browser_user.open("/")
        browser_user.add_task("Ann's own")
        browser_user.sign_out()
        browser_user.sign_in(bob)
        browser_user.expect_text("All clear")
        browser_user.add_task("Bob's own")
        browser_user.page.reload()
        expect(browser_user.task("Bob's own")).to_be_visible()
        expect(browser_user.page.get_by_text("Ann's own")).to_have_count(0)
        browser_user.sign_out()
        browser_user.sign_in(ann)

        expect(browser_user.task("Ann's own")).to_be_visible()
        expect(browser_user.page.get_by_text("Bob's own")).to_have_count(0)


def test_expired_token_is_renewed_without_an_error(stack: Stack, browse: Browse) -> None:
    with browse(stack.sign_up("Ann")) as ann:
        fetched: list[str] = []
        ann.page.on("request", lambda request: fetched.append(urlsplit(request.url).path))
        ann.page.clock.install()
        ann.open("/")
        ann.add_task("With the first token")
        ann.add_task("With the first token still")
        before = fetched.count(TOKEN)
        ann.page.clock.fast_forward("05:00")
        ann.add_task("With the next one")

        assert before == 1
        assert fetched.count(TOKEN) == 2


def test_rejected_token_is_replaced_without_an_error(stack: Stack, browse: Browse) -> None:
    with browse(stack.sign_up("Ann")) as ann:
        sent: list[str] = []
        ann.page.on("request", lambda request: sent.append(request.method))
        ann.page.add_init_script(WEAR_OUT_FIRST_TOKEN)
        ann.open("/")
        ann.add_task("Sent twice, stored once")
        ann.page.reload()

        expect(ann.task("Sent twice, stored once")).to_have_count(1)
        assert sent.count("POST") == 2
        ann.expect_console_error("401")


def test_page_reports_an_outage_and_recovers(stack: Stack, browse: Browse) -> None:
    with browse(stack.sign_up("Ann")) as ann:
        ann.open("/")
        ann.add_task("There before")
        stack.service.stop()
        try:
            ann.submit_task("Typed while it was down")
            ann.expect_text("The task service cannot be reached.")
            ann.check_accessibility()
            expect(ann.new_task).to_have_value("Typed while it was down")
            ann.page.reload()
            ann.expect_text("This page retries automatically.")
            ann.click("Try again now")
            ann.new_task.fill("Typed while it was down")
            ann.check_accessibility()
            photograph(ann, stack, "service-down")
        finally:
            stack.service.start()

        expect(ann.task("There before")).to_be_visible()
        expect(ann.new_task).to_have_value("Typed while it was down")
        ann.new_task.press("Enter")
        expect(ann.task("Typed while it was down")).to_be_visible()
        # A proxy responds in place of the service, without CORS headers.
        ann.expect_console_error("ERR_CONNECTION_REFUSED|ERR_FAILED|CORS policy")


def test_account_is_deleted_only_together_with_its_tasks(stack: Stack, browse: Browse) -> None:
    user = stack.sign_up("Ann")
    user.add("To be gone")
    token = user.token()
    with browse(user) as ann:
        ann.open("/account")
        ann.check_accessibility()
        ann.fill_in("Your password", PASSWORD)
        stack.service.stop()
        try:
            ann.click("Delete account and tasks")
            ann.expect_text("your account was kept")
        finally:
            stack.service.start()
        kept = user.titles(token=token)
        ann.click("Delete account and tasks")
        ann.expect_text("Your account and all its tasks have been deleted.")
        ann.expect_console_error("503")

    assert kept == ["To be gone"]
    assert user.titles(token=token) == []


@pytest.mark.parametrize("command", ["lint", "typecheck", "api-types:check", "test"])
def test_frontend_passes_its_own_checks(stack: Stack, command: str) -> None:
    names = ("TEST_SITE_PORT", "TEST_API_PORT", "TEST_DATABASE_PORT")
    ports = dict(zip(names, map(str, free_ports(3)), strict=True))

    RenderedProject(stack.frontend).run(f"npm run {command}", **ports)
