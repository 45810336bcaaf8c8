"""Sign-in with Google and GitHub, with Better Auth's own code for both."""

import json
import re

import pytest
from playwright.sync_api import expect

from lab.e2e.accounts.project import Accounts, Visit, every, first
from lab.e2e.identity import Identity, consents
from lab.e2e.mail import link
from lab.e2e.people import PASSWORD, Person
from lab.e2e.visitor import Visitor

PROVIDERS = pytest.mark.parametrize("provider", ["Google", "GitHub"])
UNCONFIRMED = "must be confirmed first"


def identity_of(person: Person, *, verified: bool = True) -> Identity:
    return Identity(person.name, person.email, verified)


def goes_to(visitor: Visitor, provider: str, page: str = "/sign-in") -> None:
    visitor.open(page)
    visitor.clicks(f"Continue with {provider}")
    visitor.page.wait_for_url(re.compile("^https:"))


def signs_in(visitor: Visitor, provider: str, identity: Identity, *, failing: bool = False) -> None:
    goes_to(visitor, provider)
    consents(visitor.page, identity, failing=failing)


def confirm(accounts: Accounts, person: Person) -> None:
    person.site.get(link(accounts.mail.next(person.email, "Confirm"))).raise_for_status()


def session(visitor: Visitor) -> dict[str, dict[str, object]] | None:
    script = "async () => (await fetch('/api/auth/get-session')).text()"
    return json.loads(visitor.page.evaluate(script))


@every
@PROVIDERS
def test_user_without_a_password_keeps_tasks_and_can_delete_the_account(
    accounts: Accounts, visit: Visit, provider: str
) -> None:
    ann = accounts.stack.person("Ann")
    identity = identity_of(ann)
    with visit(ann) as visitor:
        goes_to(visitor, provider, "/sign-up")
        consents(visitor.page, identity)
        visitor.sees("All clear")
        visitor.adds("Signed in without a password")
        visitor.signs_out()
        signs_in(visitor, provider, identity)
        expect(visitor.task("Signed in without a password")).to_be_visible()
        visitor.open("/account")
        visitor.sees(f"{ann.email} is confirmed.")
        visitor.sees("without a password")
        visitor.shows("account-without-password")
        visitor.clicks("Delete account and tasks")
        visitor.sees("Your account and all its tasks have been deleted.")
        signs_in(visitor, provider, identity)
        visitor.sees("All clear")


@first
def test_confirmed_account_accepts_both_password_and_provider(
    accounts: Accounts, visit: Visit
) -> None:
    ann = accounts.stack.sign_up("Ann")
    confirm(accounts, ann)
    ann.add("From before")
    with visit(accounts.stack.person("Ann")) as visitor:
        signs_in(visitor, "Google", identity_of(ann))
        expect(visitor.task("From before")).to_be_visible()

    assert ann.sign_in().status_code == 200


@first
@PROVIDERS
def test_provider_opens_an_unconfirmed_account_only_after_a_password_reset(
    accounts: Accounts, visit: Visit, provider: str
) -> None:
    """A stranger has registered Ann's address before she signs up."""
    stranger = accounts.stack.sign_up("Ann")
    stranger.add("Of the stranger")
    ann = accounts.stack.person("Ann")
    ann.email = stranger.email
    with visit(ann) as visitor:
        signs_in(visitor, provider, identity_of(ann))
        visitor.sees(UNCONFIRMED)
        visitor.shows("sign-in-not-linked")
        nobody = session(visitor)

        # The email proves that the address is hers.
        visitor.page.get_by_role("link", name="Forgot your password?").click()
        visitor.page.wait_for_url("**/forgot-password")
        visitor.fills_in("Email", ann.email)
        visitor.clicks("Send reset link")
        visitor.page.goto(link(accounts.mail.next(ann.email, "Reset")))
        visitor.fills_in("New password", "battery staple")
        visitor.clicks("Reset password")
        visitor.sees("Your password has been reset")
        signs_in(visitor, provider, identity_of(ann))
        visitor.page.wait_for_url(accounts.stack.site_url + "/")
        signed_in = session(visitor)

    assert nobody is None
    assert signed_in is not None
    assert signed_in["user"]["email"] == ann.email
    assert stranger.sign_in().status_code == 401
    assert stranger.site.get("/api/auth/token").status_code == 401


@first
def test_provider_without_a_confirmed_address_does_not_open_an_account(
    accounts: Accounts, visit: Visit
) -> None:
    ann = accounts.stack.sign_up("Ann")
    confirm(accounts, ann)
    with visit(accounts.stack.person("Stranger")) as visitor:
        signs_in(visitor, "GitHub", identity_of(ann, verified=False))
        visitor.sees(UNCONFIRMED)
        assert session(visitor) is None

    assert ann.sign_in().status_code == 200


@first
@PROVIDERS
def test_provider_without_a_confirmed_address_creates_no_account(
    accounts: Accounts, visit: Visit, provider: str
) -> None:
    """Otherwise a stranger's account would stay linked after Ann has reset the password."""
    ann = accounts.stack.person("Ann")
    with visit(accounts.stack.person("Stranger")) as visitor:
        signs_in(visitor, provider, identity_of(ann, verified=False))
        visitor.sees(UNCONFIRMED)
        assert session(visitor) is None

    ann.sign_up()
    assert ann.sign_in().status_code == 200


@first
def test_known_and_unknown_addresses_get_the_same_message(accounts: Accounts, visit: Visit) -> None:
    ann, nobody = accounts.stack.sign_up("Ann"), accounts.stack.person("Nobody")
    pages = []
    for person in (ann, nobody):
        with visit(accounts.stack.person("Stranger")) as visitor:
            signs_in(visitor, "Google", identity_of(person, verified=False))
            visitor.sees(UNCONFIRMED)
            pages.append(visitor.page.locator("main").inner_text())

    assert pages[0] == pages[1]


@first
@PROVIDERS
def test_sign_in_page_says_why_the_provider_failed(
    accounts: Accounts, visit: Visit, provider: str
) -> None:
    ann = accounts.stack.person("Ann")
    with visit(ann) as visitor:
        goes_to(visitor, provider)
        visitor.clicks("Cancel")
        visitor.sees("Sign-in was canceled.")
        visitor.shows("sign-in-canceled")
        signs_in(visitor, provider, Identity("Ann", ""))
        visitor.sees("did not share your email address")
        signs_in(visitor, provider, identity_of(ann), failing=True)
        visitor.sees("Sign-in with Google or GitHub failed.")
        visitor.shows("sign-in-provider-failed")
    # As a new person with another IP address: Better Auth allows three attempts in ten seconds.
    with visit(accounts.stack.person("Ann")) as visitor:
        signs_in(visitor, provider, identity_of(ann))
        visitor.sees("All clear")


@first
def test_provider_callback_works_only_in_the_browser_that_started_it(
    accounts: Accounts, visit: Visit
) -> None:
    """Otherwise a stranger could sign Ann in to the stranger's account."""
    ann, stranger = accounts.stack.person("Ann"), accounts.stack.person("Stranger")
    with visit(stranger) as visitor:
        goes_to(visitor, "Google")
        visitor.page.route("**/api/auth/callback/**", lambda route: route.abort())
        with visitor.page.expect_request("**/api/auth/callback/**") as request:
            consents(visitor.page, identity_of(stranger))
        url = request.value.url
        visitor.complaints.clear()
    with visit(ann) as visitor:
        visitor.page.goto(url)
        visitor.sees("was started in another browser")
        visitor.shows("sign-in-other-browser")
        assert session(visitor) is None


@first
def test_error_messages_contain_no_text_from_the_url(accounts: Accounts, visit: Visit) -> None:
    with visit(accounts.stack.person("Ann")) as visitor:
        visitor.open("/sign-in?error=Call+0800+123&error_description=Call+0800+123")
        visitor.sees("Sign-in with Google or GitHub failed.")
        assert "0800" not in visitor.page.locator("body").inner_text()
        visitor.open("/verify-email?error=Call+0800+123")
        assert "0800" not in visitor.page.locator("body").inner_text()


@first
def test_user_without_a_password_can_set_one(accounts: Accounts, visit: Visit) -> None:
    ann = accounts.stack.person("Ann")
    identity = identity_of(ann)
    with visit(ann) as visitor:
        signs_in(visitor, "GitHub", identity)
        visitor.sees("All clear")
        visitor.open("/account")
        visitor.clicks("Send a link to set a password")
        visitor.sees(f"We sent a link to {ann.email}.")
        visitor.page.goto(link(accounts.mail.next(ann.email, "Reset")))
        visitor.fills_in("New password", PASSWORD)
        visitor.clicks("Reset password")
        visitor.sees("Your password has been reset")
        visitor.signs_in(ann)
        visitor.sees("All clear")
        visitor.signs_out()
        signs_in(visitor, "GitHub", identity)
        visitor.sees("All clear")


@first
def test_address_of_a_provider_account_cannot_sign_up_with_a_password(
    accounts: Accounts, visit: Visit
) -> None:
    ann = accounts.stack.person("Ann")
    with visit(ann) as visitor:
        signs_in(visitor, "Google", identity_of(ann))
        visitor.sees("All clear")
        visitor.signs_out()
        visitor.open("/sign-up")
        visitor.fills_in("Name", "Stranger")
        visitor.fills_in("Email", ann.email)
        visitor.fills_in("Password", PASSWORD)
        visitor.clicks("Create account")
        visitor.sees("You cannot sign up with this address.")
        visitor.shows("sign-up-refused")
        visitor.expected("422")

    assert ann.sign_in().status_code == 401
