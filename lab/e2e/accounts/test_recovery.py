"""Password reset: the emailed link, and what happens if it cannot be sent or used."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from lab.e2e.accounts.project import SENDER, Accounts, Browse, every, first
from lab.e2e.browser_user import BrowserUser
from lab.e2e.mail import MailServer, link, text
from lab.e2e.users import PASSWORD, User

NEW_PASSWORD = "battery staple"
SENT = "If an account exists for"
NOT_SENT = "The email could not be sent."
USED = "This link has expired or has already been used."
# How long a user may have to wait.
SECONDS = 10


def ask(browser_user: BrowserUser, email: str) -> None:
    browser_user.open("/sign-in")
    browser_user.page.get_by_role("link", name="Forgot your password?").click()
    browser_user.page.wait_for_url("**/forgot-password")
    browser_user.fill_in("Email", email)
    browser_user.click("Send reset link")


def choose(browser_user: BrowserUser, url: str, password: str = NEW_PASSWORD) -> None:
    browser_user.page.goto(url)
    browser_user.fill_in("New password", password)
    browser_user.click("Reset password")


def request_link(accounts: Accounts, user: User) -> str:
    earlier = len(accounts.mail.to(user.email, "Reset"))
    user.auth("/request-password-reset", email=user.email, redirectTo="/reset-password")
    return link(accounts.mail.next(user.email, "Reset", earlier))


def reset(user: User, url: str) -> int:
    body = {"newPassword": NEW_PASSWORD, "token": urlsplit(url).path.rsplit("/", 1)[1]}
    return user.site.post("/api/auth/reset-password", json=body).status_code


@every
def test_forgotten_password_is_reset_with_the_emailed_link(
    accounts: Accounts, browse: Browse
) -> None:
    stack, mail = accounts.stack, accounts.mail
    ann, anyone = stack.sign_up("Ann"), stack.user("Ann")
    task = ann.add("Still there afterwards")["title"]

    with browse(anyone) as browser_user:
        browser_user.open("/sign-in")
        browser_user.check_page("sign-in")
        ask(browser_user, ann.email)
        browser_user.expect_text(SENT)
        browser_user.check_page("forgot-password")
        message = mail.next(ann.email, "Reset")
    # In another browser, such as on a phone.
    with browse(anyone) as browser_user:
        browser_user.page.goto(link(message))
        browser_user.check_page("reset-password")
        browser_user.fill_in("New password", NEW_PASSWORD)
        browser_user.click("Reset password")
        browser_user.expect_text("Your password has been reset")
        browser_user.check_page("sign-in-after-reset")
        browser_user.fill_in("Email", ann.email)
        browser_user.fill_in("Password", NEW_PASSWORD)
        browser_user.click("Sign in")
        browser_user.expect_text(task)

    assert (message["From"], message["To"]) == (SENDER, ann.email)
    assert message["Subject"] == "Reset your password for Task Service"
    assert link(message).startswith(stack.site_url)
    assert "one hour" in text(message)
    assert ann.sign_in().status_code == 401
    assert ann.site.get("/api/auth/get-session").json() is None
    assert ann.site.get("/api/auth/token").status_code == 401


@first
def test_reset_link_works_only_once(accounts: Accounts, browse: Browse) -> None:
    ann = accounts.stack.sign_up("Ann")
    url = request_link(accounts, ann)
    with browse(accounts.stack.user("Ann")) as browser_user:
        choose(browser_user, url)
        browser_user.expect_text("Your password has been reset")
        browser_user.page.goto(url)
        browser_user.expect_text(USED)
        browser_user.check_page("reset-password-used")


@first
def test_reset_link_opened_in_two_windows_works_in_one(accounts: Accounts, browse: Browse) -> None:
    ann = accounts.stack.sign_up("Ann")
    url = request_link(accounts, ann)
    with browse(accounts.stack.user("Ann")) as one, browse(accounts.stack.user("Bob")) as other:
        one.page.goto(url)
        other.page.goto(url)
        one.fill_in("New password", NEW_PASSWORD)
        one.click("Reset password")
        one.expect_text("Your password has been reset")
        other.fill_in("New password", "another password")
        other.click("Reset password")
        other.expect_text(USED)
        other.expect_console_error("400")
        one.fill_in("Email", ann.email)
        one.fill_in("Password", NEW_PASSWORD)
        one.click("Sign in")
        one.expect_text("All clear")


@first
@pytest.mark.parametrize("how", ["by another link", "on the account page"])
def test_new_password_ends_earlier_reset_links(accounts: Accounts, how: str) -> None:
    ann = accounts.stack.sign_up("Ann")
    earlier = request_link(accounts, ann)

    if how == "by another link":
        assert reset(ann, request_link(accounts, ann)) == 200
    else:
        ann.auth("/change-password", currentPassword=PASSWORD, newPassword=NEW_PASSWORD)

    assert reset(ann, earlier) == 400


@first
def test_expired_reset_link_is_rejected(accounts: Accounts, browse: Browse) -> None:
    ann = accounts.stack.sign_up("Ann")
    url = request_link(accounts, ann)
    accounts.stack.change_auth(
        "UPDATE verification SET expiresAt = ? WHERE value = ?", "2026-01-01T00:00:00.000Z", ann.id
    )
    with browse(accounts.stack.user("Ann")) as browser_user:
        browser_user.page.goto(url)
        browser_user.expect_text(USED)

    assert ann.sign_in().status_code == 200


@first
def test_reset_link_with_an_unknown_token_is_rejected(accounts: Accounts, browse: Browse) -> None:
    ann = accounts.stack.sign_up("Ann")
    with browse(accounts.stack.user("Ann")) as browser_user:
        browser_user.open("/reset-password?token=aaaaaaaaaaaaaaaaaaaaaaaa")
        browser_user.fill_in("New password", NEW_PASSWORD)
        browser_user.click("Reset password")
        browser_user.expect_text(USED)
        browser_user.open("/reset-password")
        browser_user.expect_text(USED)
        browser_user.expect_console_error("400")

    assert ann.sign_in().status_code == 200


@first
def test_reset_link_changes_only_the_account_it_was_sent_to(
    accounts: Accounts, browse: Browse
) -> None:
    ann, bob = accounts.stack.sign_up("Ann"), accounts.stack.sign_up("Bob")
    url = request_link(accounts, ann)
    with browse(bob) as browser_user:
        choose(browser_user, url)
        browser_user.page.wait_for_url(lambda url: "token" not in url)

    assert bob.sign_in().status_code == 200
    assert ann.sign_in().status_code == 401


@first
def test_reset_link_still_works_after_a_rejected_password(
    accounts: Accounts, browse: Browse
) -> None:
    ann = accounts.stack.sign_up("Ann")
    with browse(accounts.stack.user("Ann")) as browser_user:
        choose(browser_user, request_link(accounts, ann), "short")
        browser_user.expect_text("Use at least 8 characters.")
        browser_user.check_page("reset-password-refused")
        browser_user.fill_in("New password", NEW_PASSWORD)
        browser_user.click("Reset password")
        browser_user.expect_text("Your password has been reset")
        browser_user.expect_console_error("400")


@first
def test_unknown_address_gets_the_same_page_and_no_email(
    accounts: Accounts, browse: Browse
) -> None:
    ann, nobody = accounts.stack.sign_up("Ann"), accounts.stack.user("Nobody")
    pages = []
    for user in (ann, nobody):
        with browse(accounts.stack.user("Visitor")) as browser_user:
            ask(browser_user, user.email)
            browser_user.expect_text(SENT)
            pages.append(browser_user.page.locator("main").inner_text().replace(user.email, "…"))
    accounts.mail.next(ann.email, "Reset")

    assert pages[0] == pages[1]
    assert accounts.mail.to(nobody.email) == []


@first
def test_response_time_does_not_reveal_whether_an_account_exists(
    accounts: Accounts,
) -> None:
    seconds = []
    with accounts.mail.slow(2):
        for user in (accounts.stack.sign_up("Ann"), accounts.stack.user("Nobody")):
            began = time.monotonic()
            user.auth("/request-password-reset", email=user.email)
            seconds.append(time.monotonic() - began)

    assert abs(seconds[0] - seconds[1]) < 1, seconds


Failure = Callable[[MailServer], AbstractContextManager[None]]
FAILURES = pytest.mark.parametrize(
    "failure", [MailServer.refusing_connections, MailServer.hanging, MailServer.other_password]
)


@first
@FAILURES
def test_page_says_that_the_email_could_not_be_sent(
    accounts: Accounts, browse: Browse, failure: Failure
) -> None:
    user = accounts.stack.sign_up("Ann")
    with browse(accounts.stack.user("Visitor")) as browser_user, failure(accounts.mail):
        browser_user.open("/forgot-password")
        browser_user.fill_in("Email", user.email)
        began = time.monotonic()
        browser_user.click("Send reset link")
        browser_user.expect_text(NOT_SENT)
        waited = time.monotonic() - began
        browser_user.check_page("forgot-password-not-sent")
        typed = browser_user.page.get_by_label("Email").input_value()
        browser_user.expect_console_error("503")

    assert waited < SECONDS
    assert typed == user.email


@first
def test_unknown_address_gets_the_same_error_if_no_email_can_be_sent(
    accounts: Accounts, browse: Browse
) -> None:
    with (
        browse(accounts.stack.user("Visitor")) as browser_user,
        accounts.mail.refusing_connections(),
    ):
        ask(browser_user, accounts.stack.user("Nobody").email)
        browser_user.expect_text(NOT_SENT)
        browser_user.expect_console_error("503")


@first
@FAILURES
def test_account_is_created_even_if_no_email_can_be_sent(
    accounts: Accounts, browse: Browse, failure: Failure
) -> None:
    ann = accounts.stack.user("Ann")
    with browse(ann) as browser_user, failure(accounts.mail), accounts.failing_email():
        browser_user.open("/sign-up")
        began = time.monotonic()
        browser_user.sign_up()
        browser_user.expect_text("All clear")
        waited = time.monotonic() - began

    assert waited < SECONDS
    assert ann.sign_in().status_code == 200
    assert accounts.mail.to(ann.email) == []


@first
def test_rejected_recipient_is_not_revealed(accounts: Accounts, browse: Browse) -> None:
    ann = accounts.stack.sign_up("Ann")
    with browse(accounts.stack.user("Visitor")) as browser_user, accounts.mail.without(ann.email):
        ask(browser_user, ann.email)
        browser_user.expect_text(SENT)
    url = request_link(accounts, ann)

    assert len(accounts.mail.to(ann.email, "Reset")) == 1
    assert url.startswith(accounts.stack.site_url)


@first
def test_too_many_reset_requests_are_rejected_with_a_message(
    accounts: Accounts, browse: Browse
) -> None:
    with browse(accounts.stack.user("Visitor")) as browser_user:
        browser_user.open("/forgot-password")
        button = browser_user.page.get_by_role("button")
        for _ in range(4):
            browser_user.fill_in("Email", "somebody@example.com")
            with browser_user.page.expect_response("**/request-password-reset"):
                browser_user.click("Send reset link")
            expect(button).to_have_attribute("aria-disabled", "false")
        browser_user.expect_text("Too many attempts.")
        browser_user.expect_console_error("429")


@first
def test_reset_link_cannot_redirect_to_another_site(accounts: Accounts) -> None:
    ann = accounts.stack.sign_up("Ann")

    refused = ann.site.post(
        "/api/auth/request-password-reset",
        json={"email": ann.email, "redirectTo": "https://attacker.example/"},
    )
    url = request_link(accounts, ann)

    assert refused.status_code == 403
    assert "attacker" not in url
    assert len(accounts.mail.to(ann.email, "Reset")) == 1
