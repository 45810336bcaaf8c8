"""Without the settings for email, Google and GitHub, everything else works."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from lab.e2e.browser_user import BrowserUser, browsing
from lab.e2e.stack import COMBINATIONS, Stack
from lab.e2e.users import User
from lab.servers import wait_until

Browse = Callable[[User], AbstractContextManager[BrowserUser]]
NOT_CONFIGURED = "Email is not configured."
production = pytest.mark.parametrize(
    "stack", COMBINATIONS[:1], indirect=True, ids="-".join, scope="session"
)
development = pytest.mark.parametrize(
    "stack", COMBINATIONS[1:2], indirect=True, ids="-".join, scope="session"
)


@pytest.fixture
def browse(browser: Browser, stack: Stack, axe: str) -> Browse:
    return partial(browsing, browser, stack, axe)


@production
def test_production_offers_no_providers_and_no_email(stack: Stack, browse: Browse) -> None:
    with browse(stack.user("Ann")) as browser_user:
        browser_user.open("/sign-in")
        browser_user.check_page("sign-in-without-providers")
        expect(browser_user.page.get_by_role("button", name="Continue with")).to_have_count(0)
        browser_user.open("/forgot-password")
        browser_user.expect_text("This site cannot send email.")
        browser_user.check_page("forgot-password-without-mail")
        browser_user.open("/sign-up")
        browser_user.sign_up()
        browser_user.open("/account")
        browser_user.expect_text("This site cannot send email")
        browser_user.check_page("account-without-mail")

    assert NOT_CONFIGURED in stack.log()


@development
def test_development_prints_emails(stack: Stack, browse: Browse) -> None:
    ann = stack.sign_up("Ann")
    with browse(stack.user("Ann")) as browser_user:
        browser_user.open("/forgot-password")
        browser_user.fill_in("Email", ann.email)
        browser_user.click("Send reset link")
        browser_user.expect_text("If an account exists for")
        wait_until(lambda: "Reset your password" in stack.log(), 10, stack.log)
        [url] = [line for line in stack.log().splitlines() if "/reset-password/" in line]
        browser_user.page.goto(url)
        browser_user.expect_text("Choose a new password")

    assert urlsplit(url).netloc == urlsplit(stack.site_url).netloc
    assert f"Email to {ann.email}" in stack.log()
    assert NOT_CONFIGURED not in stack.log()
