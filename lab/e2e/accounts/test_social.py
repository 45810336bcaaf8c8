"""Sign-in with Google and GitHub, with Better Auth's own code for both."""

import json
import re

import pytest
from playwright.sync_api import expect

from lab.e2e.accounts.project import Accounts, Browse, every, first
from lab.e2e.browser_user import BrowserUser
from lab.e2e.identity import Identity, consents
from lab.e2e.mail import link
from lab.e2e.users import PASSWORD, User

PROVIDERS = pytest.mark.parametrize("provider", ["Google", "GitHub"])
UNCONFIRMED = "must be confirmed first"


def identity_of(user: User, *, verified: bool = True) -> Identity:
    return Identity(user.name, user.email, verified)


def goes_to(browser_user: BrowserUser, provider: str, page: str = "/sign-in") -> None:
    browser_user.open(page)
    browser_user.click(f"Continue with {provider}")
    browser_user.page.wait_for_url(re.compile("^https:"))


def signs_in(
    browser_user: BrowserUser, provider: str, identity: Identity, *, failing: bool = False
) -> None:
    goes_to(browser_user, provider)
    consents(browser_user.page, identity, failing=failing)


def confirm(accounts: Accounts, user: User) -> None:
    user.site.get(link(accounts.mail.next(user.email, "Confirm"))).raise_for_status()


def session(browser_user: BrowserUser) -> dict[str, dict[str, object]] | None:
    script = "async () => (await fetch('/api/auth/get-session')).text()"
    return json.loads(browser_user.page.evaluate(script))


@every
@PROVIDERS
def test_user_without_a_password_keeps_tasks_and_can_delete_the_account(
    accounts: Accounts, browse: Browse, provider: str
) -> None:
    ann = accounts.stack.user("Ann")
    identity = identity_of(ann)
    with browse(ann) as browser_user:
        goes_to(browser_user, provider, "/sign-up")
        consents(browser_user.page, identity)
        browser_user.expect_text("All clear")
        browser_user.add_task("Signed in without a password")
        browser_user.sign_out()
        signs_in(browser_user, provider, identity)
        expect(browser_user.task("Signed in without a password")).to_be_visible()
        browser_user.open("/account")
        browser_user.expect_text(f"{ann.email} is confirmed.")
        browser_user.expect_text("without a password")
        browser_user.check_page("account-without-password")
        browser_user.click("Delete account and tasks")
        browser_user.expect_text("Your account and all its tasks have been deleted.")
        signs_in(browser_user, provider, identity)
        browser_user.expect_text("All clear")


@first
def test_confirmed_account_accepts_both_password_and_provider(
    accounts: Accounts, browse: Browse
) -> None:
    ann = accounts.stack.sign_up("Ann")
    confirm(accounts, ann)
    ann.add("From before")
    with browse(accounts.stack.user("Ann")) as browser_user:
        signs_in(browser_user, "Google", identity_of(ann))
        expect(browser_user.task("From before")).to_be_visible()

    assert ann.sign_in().status_code == 200


@first
@PROVIDERS
def test_provider_opens_an_unconfirmed_account_only_after_a_password_reset(
    accounts: Accounts, browse: Browse, provider: str
) -> None:
    """A stranger has registered Ann's address before she signs up."""
    stranger = accounts.stack.sign_up("Ann")
    stranger.add("Of the stranger")
    ann = accounts.stack.user("Ann")
    ann.email = stranger.email
    with browse(ann) as browser_user:
        signs_in(browser_user, provider, identity_of(ann))
        browser_user.expect_text(UNCONFIRMED)
        browser_user.check_page("sign-in-not-linked")
        nobody = session(browser_user)

        # The email proves that the address is hers.
        browser_user.page.get_by_role("link", name="Forgot your password?").click()
        browser_user.page.wait_for_url("**/forgot-password")
        browser_user.fill_in("Email", ann.email)
        browser_user.click("Send reset link")
        browser_user.page.goto(link(accounts.mail.next(ann.email, "Reset")))
        browser_user.fill_in("New password", "battery staple")
        browser_user.click("Reset password")
        browser_user.expect_text("Your password has been reset")
        signs_in(browser_user, provider, identity_of(ann))
        browser_user.page.wait_for_url(accounts.stack.site_url + "/")
        signed_in = session(browser_user)

    assert nobody is None
    assert signed_in is not None
    assert signed_in["user"]["email"] == ann.email
    assert stranger.sign_in().status_code == 401
    assert stranger.site.get("/api/auth/token").status_code == 401


@first
def test_provider_without_a_confirmed_address_does_not_open_an_account(
    accounts: Accounts, browse: Browse
) -> None:
    ann = accounts.stack.sign_up("Ann")
    confirm(accounts, ann)
    with browse(accounts.stack.user("Stranger")) as browser_user:
        signs_in(browser_user, "GitHub", identity_of(ann, verified=False))
        browser_user.expect_text(UNCONFIRMED)
        assert session(browser_user) is None

    assert ann.sign_in().status_code == 200


@first
@PROVIDERS
def test_provider_without_a_confirmed_address_creates_no_account(
    accounts: Accounts, browse: Browse, provider: str
) -> None:
    """Otherwise a stranger's account would stay linked after Ann has reset the password."""
    ann = accounts.stack.user("Ann")
    with browse(accounts.stack.user("Stranger")) as browser_user:
        signs_in(browser_user, provider, identity_of(ann, verified=False))
        browser_user.expect_text(UNCONFIRMED)
        assert session(browser_user) is None

    ann.sign_up()
    assert ann.sign_in().status_code == 200


@first
def test_known_and_unknown_addresses_get_the_same_message(
    accounts: Accounts, browse: Browse
) -> None:
    ann, nobody = accounts.stack.sign_up("Ann"), accounts.stack.user("Nobody")
    pages = []
    for user in (ann, nobody):
        with browse(accounts.stack.user("Stranger")) as browser_user:
            signs_in(browser_user, "Google", identity_of(user, verified=False))
            browser_user.expect_text(UNCONFIRMED)
            pages.append(browser_user.page.locator("main").inner_text())

    assert pages[0] == pages[1]


@first
@PROVIDERS
def test_sign_in_page_says_why_the_provider_failed(
    accounts: Accounts, browse: Browse, provider: str
) -> None:
    ann = accounts.stack.user("Ann")
    with browse(ann) as browser_user:
        goes_to(browser_user, provider)
        browser_user.click("Cancel")
        browser_user.expect_text("Sign-in was canceled.")
        browser_user.check_page("sign-in-canceled")
        signs_in(browser_user, provider, Identity("Ann", ""))
        browser_user.expect_text("did not share your email address")
        signs_in(browser_user, provider, identity_of(ann), failing=True)
        browser_user.expect_text("Sign-in with Google or GitHub failed.")
        browser_user.check_page("sign-in-provider-failed")
    # As a new user with another IP address: Better Auth allows three attempts in ten seconds.
    with browse(accounts.stack.user("Ann")) as browser_user:
        signs_in(browser_user, provider, identity_of(ann))
        browser_user.expect_text("All clear")


@first
def test_provider_callback_works_only_in_the_browser_that_started_it(
    accounts: Accounts, browse: Browse
) -> None:
    """Otherwise a stranger could sign Ann in to the stranger's account."""
    ann, stranger = accounts.stack.user("Ann"), accounts.stack.user("Stranger")
    with browse(stranger) as browser_user:
        goes_to(browser_user, "Google")
        browser_user.page.route("**/api/auth/callback/**", lambda route: route.abort())
        with browser_user.page.expect_request("**/api/auth/callback/**") as request:
            consents(browser_user.page, identity_of(stranger))
        url = request.value.url
        browser_user.console_errors.clear()
    with browse(ann) as browser_user:
        browser_user.page.goto(url)
        browser_user.expect_text("was started in another browser")
        browser_user.check_page("sign-in-other-browser")
        assert session(browser_user) is None


@first
def test_error_messages_contain_no_text_from_the_url(accounts: Accounts, browse: Browse) -> None:
    with browse(accounts.stack.user("Ann")) as browser_user:
        browser_user.open("/sign-in?error=Call+0800+123&error_description=Call+0800+123")
        browser_user.expect_text("Sign-in with Google or GitHub failed.")
        assert "0800" not in browser_user.page.locator("body").inner_text()
        browser_user.open("/verify-email?error=Call+0800+123")
        assert "0800" not in browser_user.page.locator("body").inner_text()


@first
def test_user_without_a_password_can_set_one(accounts: Accounts, browse: Browse) -> None:
    ann = accounts.stack.user("Ann")
    identity = identity_of(ann)
    with browse(ann) as browser_user:
        signs_in(browser_user, "GitHub", identity)
        browser_user.expect_text("All clear")
        browser_user.open("/account")
        browser_user.click("Send a link to set a password")
        browser_user.expect_text(f"We sent a link to {ann.email}.")
        browser_user.page.goto(link(accounts.mail.next(ann.email, "Reset")))
        browser_user.fill_in("New password", PASSWORD)
        browser_user.click("Reset password")
        browser_user.expect_text("Your password has been reset")
        browser_user.sign_in(ann)
        browser_user.expect_text("All clear")
        browser_user.sign_out()
        signs_in(browser_user, "GitHub", identity)
        browser_user.expect_text("All clear")


@first
def test_address_of_a_provider_account_cannot_sign_up_with_a_password(
    accounts: Accounts, browse: Browse
) -> None:
    ann = accounts.stack.user("Ann")
    with browse(ann) as browser_user:
        signs_in(browser_user, "Google", identity_of(ann))
        browser_user.expect_text("All clear")
        browser_user.sign_out()
        browser_user.open("/sign-up")
        browser_user.fill_in("Name", "Stranger")
        browser_user.fill_in("Email", ann.email)
        browser_user.fill_in("Password", PASSWORD)
        browser_user.click("Create account")
        browser_user.expect_text("You cannot sign up with this address.")
        browser_user.check_page("sign-up-refused")
        browser_user.expect_console_error("422")

    assert ann.sign_in().status_code == 401
