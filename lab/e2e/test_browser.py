"""What people see, in a real browser: Next in development, and as it is built for production."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from lab.e2e.people import PASSWORD, Person
from lab.e2e.stack import COMBINATIONS, Stack
from lab.e2e.visitor import Visitor, visiting
from lab.servers import free_ports
from tests.rendering import ROOT, RenderedProject

TOKEN = "/api/auth/token"
pytestmark = pytest.mark.parametrize(
    "stack", COMBINATIONS[:2], indirect=True, ids="-".join, scope="session"
)

SCREENSHOTS = ROOT / "docs" / "screenshots"

# Not by Playwright's routes: with them it answers a browser's CORS questions itself.
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

Visit = Callable[[Person], AbstractContextManager[Visitor]]


@pytest.fixture
def visit(browser: Browser, stack: Stack, axe: str) -> Visit:
    """`with visit(person) as visitor`: fails in the end if the console had an error in it."""
    return partial(visiting, browser, stack, axe)


def photograph(visitor: Visitor, stack: Stack, name: str) -> None:
    """For the README, if asked for; never of development, whose pages carry Next's own button."""
    if os.environ.get("E2E_UPDATE") and stack.production:
        visitor.photographs(SCREENSHOTS / f"{name}.png")


def test_a_person_signs_up_and_keeps_tasks(stack: Stack, visit: Visit) -> None:
    with visit(stack.person("Ann")) as ann:
        ann.open("/")
        ann.page.wait_for_url("**/sign-in")
        ann.finds_no_barrier()
        ann.open("/sign-up")
        ann.finds_no_barrier()
        photograph(ann, stack, "sign-up")
        ann.signs_up()
        ann.sees("All clear")
        ann.finds_no_barrier()

        ann.adds("Water the tomatoes")
        ann.adds("Send the invoice to Frida")
        ann.adds("Book the train")
        ann.page.reload()
        ann.toggles("Send the invoice to Frida")
        ann.clicks("Edit Book the train")
        ann.page.keyboard.type("Book the train to Vienna")
        ann.finds_no_barrier()
        ann.page.keyboard.press("Enter")
        expect(ann.task("Book the train to Vienna")).to_be_visible()
        ann.page.reload()
        expect(ann.task("Send the invoice to Frida")).to_be_checked()
        ann.finds_no_barrier()
        photograph(ann, stack, "tasks")

        ann.clicks("Delete Book the train to Vienna")
        expect(ann.task("Book the train to Vienna")).to_have_count(0)
        ann.finds_no_barrier()
        ann.page.reload()
        expect(ann.page.get_by_role("checkbox")).to_have_count(2)
        ann.signs_out()
        ann.open("/")
        ann.page.wait_for_url("**/sign-in")


def test_a_second_person_in_the_same_browser_sees_nothing_of_the_first(
    stack: Stack, visit: Visit
) -> None:
    ann, bob = stack.sign_up("Ann"), stack.sign_up("Bob")
    with visit(ann) as visitor:
        visitor.open("/")
        visitor.adds("Ann's own")
        visitor.signs_out()
        visitor.signs_in(bob)
        visitor.sees("All clear")
        visitor.adds("Bob's own")
        visitor.page.reload()
        expect(visitor.task("Bob's own")).to_be_visible()
        expect(visitor.page.get_by_text("Ann's own")).to_have_count(0)
        visitor.signs_out()
        visitor.signs_in(ann)

        expect(visitor.task("Ann's own")).to_be_visible()
        expect(visitor.page.get_by_text("Bob's own")).to_have_count(0)


def test_an_expired_token_is_renewed_unnoticed(stack: Stack, visit: Visit) -> None:
    with visit(stack.sign_up("Ann")) as ann:
        fetched: list[str] = []
        ann.page.on("request", lambda request: fetched.append(urlsplit(request.url).path))
        ann.page.clock.install()
        ann.open("/")
        ann.adds("With the first token")
        ann.adds("With the first token still")
        before = fetched.count(TOKEN)
        ann.page.clock.fast_forward("05:00")
        ann.adds("With the next one")

        assert before == 1
        assert fetched.count(TOKEN) == 2


def test_a_token_that_is_refused_too_early_is_replaced_unnoticed(
    stack: Stack, visit: Visit
) -> None:
    with visit(stack.sign_up("Ann")) as ann:
        sent: list[str] = []
        ann.page.on("request", lambda request: sent.append(request.method))
        ann.page.add_init_script(WEAR_OUT_FIRST_TOKEN)
        ann.open("/")
        ann.adds("Sent twice, stored once")
        ann.page.reload()

        expect(ann.task("Sent twice, stored once")).to_have_count(1)
        assert sent.count("POST") == 2
        ann.expected("401")


def test_says_that_the_service_is_down_and_recovers(stack: Stack, visit: Visit) -> None:
    with visit(stack.sign_up("Ann")) as ann:
        ann.open("/")
        ann.adds("There before")
        stack.service.stop()
        try:
            ann.types("Typed while it was down")
            ann.sees("The task service cannot be reached.")
            ann.finds_no_barrier()
            expect(ann.new_task).to_have_value("Typed while it was down")
            ann.page.reload()
            ann.sees("This page retries automatically.")
            ann.clicks("Try again now")
            ann.new_task.fill("Typed while it was down")
            ann.finds_no_barrier()
            photograph(ann, stack, "service-down")
        finally:
            stack.service.start()

        expect(ann.task("There before")).to_be_visible()
        expect(ann.new_task).to_have_value("Typed while it was down")
        ann.new_task.press("Enter")
        expect(ann.task("Typed while it was down")).to_be_visible()
        # A proxy answers in the service's place, without CORS headers.
        ann.expected("ERR_CONNECTION_REFUSED|ERR_FAILED|CORS policy")


def test_deletes_an_account_with_its_tasks_and_only_with_them(stack: Stack, visit: Visit) -> None:
    person = stack.sign_up("Ann")
    person.add("To be gone")
    token = person.token()
    with visit(person) as ann:
        ann.open("/account")
        ann.finds_no_barrier()
        ann.fills_in("Your password", PASSWORD)
        stack.service.stop()
        try:
            ann.clicks("Delete account and tasks")
            ann.sees("your account was kept")
        finally:
            stack.service.start()
        kept = person.titles(token=token)
        ann.clicks("Delete account and tasks")
        ann.sees("Your account and all its tasks have been deleted.")
        ann.expected("503")

    assert kept == ["To be gone"]
    assert person.titles(token=token) == []


@pytest.mark.parametrize("command", ["lint", "typecheck", "api-types:check", "test"])
def test_the_frontend_passes_its_own_checks(stack: Stack, command: str) -> None:
    names = ("TEST_SITE_PORT", "TEST_API_PORT", "TEST_DATABASE_PORT")
    ports = dict(zip(names, map(str, free_ports(3)), strict=True))

    RenderedProject(stack.frontend).run(f"npm run {command}", **ports)
