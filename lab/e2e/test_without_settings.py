"""Without the settings for email, Google and GitHub, everything else works."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from lab.e2e.people import Person
from lab.e2e.stack import COMBINATIONS, Stack
from lab.e2e.visitor import Visitor, visiting
from lab.servers import wait_until

Visit = Callable[[Person], AbstractContextManager[Visitor]]
NOT_CONFIGURED = "Email is not configured."
production = pytest.mark.parametrize(
    "stack", COMBINATIONS[:1], indirect=True, ids="-".join, scope="session"
)
development = pytest.mark.parametrize(
    "stack", COMBINATIONS[1:2], indirect=True, ids="-".join, scope="session"
)


@pytest.fixture
def visit(browser: Browser, stack: Stack, axe: str) -> Visit:
    return partial(visiting, browser, stack, axe)


@production
def test_production_offers_no_providers_and_no_email(stack: Stack, visit: Visit) -> None:
    with visit(stack.person("Ann")) as visitor:
        visitor.open("/sign-in")
        visitor.shows("sign-in-without-providers")
        expect(visitor.page.get_by_role("button", name="Continue with")).to_have_count(0)
        visitor.open("/forgot-password")
        visitor.sees("This site cannot send email.")
        visitor.shows("forgot-password-without-mail")
        visitor.open("/sign-up")
        visitor.signs_up()
        visitor.open("/account")
        visitor.sees("This site cannot send email")
        visitor.shows("account-without-mail")

    assert NOT_CONFIGURED in stack.log()


@development
def test_development_prints_emails(stack: Stack, visit: Visit) -> None:
    ann = stack.sign_up("Ann")
    with visit(stack.person("Ann")) as visitor:
        visitor.open("/forgot-password")
        visitor.fills_in("Email", ann.email)
        visitor.clicks("Send reset link")
        visitor.sees("If an account exists for")
        wait_until(lambda: "Reset your password" in stack.log(), 10, stack.log)
        [url] = [line for line in stack.log().splitlines() if "/reset-password/" in line]
        visitor.page.goto(url)
        visitor.sees("Choose a new password")

    assert urlsplit(url).netloc == urlsplit(stack.site_url).netloc
    assert f"Email to {ann.email}" in stack.log()
    assert NOT_CONFIGURED not in stack.log()
