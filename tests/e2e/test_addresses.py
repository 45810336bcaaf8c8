"""Whatever address a page is opened at, and whatever settings there are."""

import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import pytest
from conftest import clean_environment
from playwright.sync_api import Browser, Route, expect
from servers import wait_until

from e2e.accounts import ACCOUNTS, Accounts
from e2e.identity import CLIENT_SECRET
from e2e.mail import PASSWORD as SMTP_PASSWORD
from e2e.mail import QUOTED, link
from e2e.people import PASSWORD, Person
from e2e.visitor import Visitor, visiting

Visit = Callable[[Person], AbstractContextManager[Visitor]]
pytestmark = pytest.mark.parametrize(
    "accounts", ACCOUNTS[:1], indirect=True, ids="-".join, scope="session"
)


@pytest.fixture(scope="module")
def chromium_flags(accounts: Accounts) -> tuple[str, ...]:
    return accounts.chromium_flags


@pytest.fixture
def visit(browser: Browser, accounts: Accounts, axe: str) -> Visit:
    return partial(visiting, browser, accounts.stack, axe)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_page_opened_at_another_name_of_this_machine_leads_to_the_sites_own(
    accounts: Accounts, visit: Visit, host: str
) -> None:
    site = accounts.stack.site_url
    with visit(accounts.stack.person("Ann")) as visitor:
        visitor.page.goto(site.replace("localhost", host) + "/sign-up?from=a#b")
        visitor.page.wait_for_url(f"{site}/sign-up?from=a#b")
        visitor.signs_up()
        visitor.sees("All clear")


def test_a_page_opened_from_another_machine_says_which_address_to_use(
    accounts: Accounts, visit: Visit
) -> None:
    with visit(accounts.stack.person("Ann")) as visitor:
        # The browser finds this name on this machine, as it finds those in a local network.
        visitor.page.goto(accounts.stack.site_url.replace("localhost", "laptop.test") + "/sign-in")
        visitor.sees("This site works only at")
        visitor.shows("other-address")
        expect(visitor.page.get_by_role("link", name=accounts.stack.site_url)).to_be_visible()
        expect(visitor.page.get_by_label("Password")).to_be_hidden()
        # Chromium says so about all sites without TLS, except on localhost.
        visitor.expected("Cross-Origin-Opener-Policy")


def test_a_request_from_another_address_is_refused_in_words(
    accounts: Accounts, visit: Visit
) -> None:
    def from_elsewhere(route: Route) -> None:
        headers = route.request.headers | {"origin": "http://elsewhere.example"}
        route.fulfill(response=route.fetch(headers=headers))

    with visit(accounts.stack.person("Ann")) as visitor:
        visitor.page.route("**/api/auth/sign-in/email", from_elsewhere)
        visitor.open("/sign-in")
        visitor.fills_in("Email", "ann@example.com")
        visitor.fills_in("Password", PASSWORD)
        visitor.clicks("Sign in")
        visitor.sees("This site does not accept requests from")
        visitor.expected("403")


def test_cookies_carry_the_name_of_the_project(accounts: Accounts, visit: Visit) -> None:
    """Browsers share cookies between all ports of localhost."""
    ann = accounts.stack.sign_up("Ann")
    names = [cookie.name for cookie in ann.site.cookies.jar]
    slug = accounts.stack.project.path.name

    assert names
    assert all(name.startswith(f"{slug}.") for name in names), names


@pytest.mark.parametrize(
    ("missing", "present"),
    [
        ("GOOGLE_CLIENT_SECRET", "GOOGLE_CLIENT_ID"),
        ("GITHUB_CLIENT_ID", "GITHUB_CLIENT_SECRET"),
        ("MAIL_FROM", "SMTP_URL"),
    ],
)
def test_a_setting_without_the_one_that_it_needs_stops_the_start(
    accounts: Accounts, missing: str, present: str
) -> None:
    done = subprocess.run(
        ["npm", "run", "--silent", "start"],
        cwd=accounts.stack.frontend,
        env=clean_environment() | {missing: ""},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode != 0
    [line] = done.stderr.splitlines()
    assert line.startswith(f"Cannot start: {missing} must be")
    assert present in accounts.stack.project.settings("frontend/.env.local")


def test_nothing_secret_is_printed_in_production(accounts: Accounts) -> None:
    """After whatever other tests have done; alone, this test sees an email that cannot be sent."""
    ann = accounts.stack.sign_up("Ann")
    accounts.mail.next(ann.email, "Confirm")
    with accounts.mail.without(ann.email):
        ann.auth("/request-password-reset", email=ann.email)
        wait_until(lambda: "Email was not sent" in accounts.stack.log(), 10, accounts.stack.log)
    printed = accounts.stack.log()
    links = [link(message) for message in accounts.mail.received]

    assert links
    assert not [url for url in links if url in printed]
    for secret in (accounts.stack.project.secret, SMTP_PASSWORD, QUOTED, CLIENT_SECRET, PASSWORD):
        assert secret not in printed
    for hidden in ("/api/auth/reset-password/", "token=", "@example.com"):
        assert hidden not in printed
