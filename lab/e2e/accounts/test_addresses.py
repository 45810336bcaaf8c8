"""Pages opened at other addresses, cookie names, incomplete settings, and the log."""

import subprocess

import pytest
from playwright.sync_api import Route, expect

from lab.e2e.accounts.project import Accounts, Browse, first
from lab.e2e.identity import CLIENT_SECRET
from lab.e2e.mail import PASSWORD as SMTP_PASSWORD
from lab.e2e.mail import QUOTED, link
from lab.e2e.users import PASSWORD
from tests.rendering import clean_environment

pytestmark = first


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_page_opened_at_another_loopback_address_redirects_to_the_sites_own(
    accounts: Accounts, browse: Browse, host: str
) -> None:
    site = accounts.stack.site_url
    with browse(accounts.stack.user("Ann")) as browser_user:
        browser_user.page.goto(site.replace("localhost", host) + "/sign-up?from=a#b")
        browser_user.page.wait_for_url(f"{site}/sign-up?from=a#b")
        browser_user.sign_up()
        browser_user.expect_text("All clear")


def test_page_opened_from_another_machine_says_which_address_to_use(
    accounts: Accounts, browse: Browse
) -> None:
    with browse(accounts.stack.user("Ann")) as browser_user:
        # The browser resolves this name to this machine, like a name in a local network.
        browser_user.page.goto(
            accounts.stack.site_url.replace("localhost", "laptop.test") + "/sign-in"
        )
        browser_user.expect_text("This site works only at")
        browser_user.check_page("other-address")
        expect(browser_user.page.get_by_role("link", name=accounts.stack.site_url)).to_be_visible()
        expect(browser_user.page.get_by_label("Password")).to_be_hidden()
        # Chromium logs this for all sites without TLS, except on localhost.
        browser_user.expect_console_error("Cross-Origin-Opener-Policy")


def test_request_from_another_origin_is_rejected_with_a_message(
    accounts: Accounts, browse: Browse
) -> None:
    def from_elsewhere(route: Route) -> None:
        headers = route.request.headers | {"origin": "http://elsewhere.example"}
        route.fulfill(response=route.fetch(headers=headers))

    with browse(accounts.stack.user("Ann")) as browser_user:
        browser_user.page.route("**/api/auth/sign-in/email", from_elsewhere)
        browser_user.open("/sign-in")
        browser_user.fill_in("Email", "ann@example.com")
        browser_user.fill_in("Password", PASSWORD)
        browser_user.click("Sign in")
        browser_user.expect_text("This site does not accept requests from")
        browser_user.expect_console_error("403")


def test_cookie_names_begin_with_the_project_slug(accounts: Accounts, browse: Browse) -> None:
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
def test_frontend_does_not_start_with_one_of_two_paired_settings(
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


def test_production_log_contains_no_secrets(accounts: Accounts) -> None:
    """Covers what earlier tests have logged, and an email that cannot be sent."""
    ann = accounts.stack.sign_up("Ann")
    accounts.mail.next(ann.email, "Confirm")
    with accounts.mail.without(ann.email), accounts.failing_email():
        ann.auth("/request-password-reset", email=ann.email)
    printed = accounts.stack.log()
    links = [link(message) for message in accounts.mail.received]

    assert links
    assert not [url for url in links if url in printed]
    for secret in (accounts.stack.project.secret, SMTP_PASSWORD, QUOTED, CLIENT_SECRET, PASSWORD):
        assert secret not in printed
    for hidden in ("/api/auth/reset-password/", "token=", "@example.com"):
        assert hidden not in printed
