"""Password reset: the emailed link, and what happens if it cannot be sent or used."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from lab.e2e.accounts.project import SENDER, Accounts, Visit, every, first
from lab.e2e.mail import MailServer, link, text
from lab.e2e.people import PASSWORD, Person
from lab.e2e.visitor import Visitor

NEW_PASSWORD = "battery staple"
SENT = "If an account exists for"
NOT_SENT = "The email could not be sent."
USED = "This link has expired or has already been used."
# How long a user may have to wait.
SECONDS = 10


def ask(visitor: Visitor, email: str) -> None:
    visitor.open("/sign-in")
    visitor.page.get_by_role("link", name="Forgot your password?").click()
    visitor.page.wait_for_url("**/forgot-password")
    visitor.fills_in("Email", email)
    visitor.clicks("Send reset link")


def choose(visitor: Visitor, url: str, password: str = NEW_PASSWORD) -> None:
    visitor.page.goto(url)
    visitor.fills_in("New password", password)
    visitor.clicks("Reset password")


def request_link(accounts: Accounts, person: Person) -> str:
    earlier = len(accounts.mail.to(person.email, "Reset"))
    person.auth("/request-password-reset", email=person.email, redirectTo="/reset-password")
    return link(accounts.mail.next(person.email, "Reset", earlier))


def reset(person: Person, url: str) -> int:
    body = {"newPassword": NEW_PASSWORD, "token": urlsplit(url).path.rsplit("/", 1)[1]}
    return person.site.post("/api/auth/reset-password", json=body).status_code


@every
def test_forgotten_password_is_reset_with_the_emailed_link(
    accounts: Accounts, visit: Visit
) -> None:
    stack, mail = accounts.stack, accounts.mail
    ann, anyone = stack.sign_up("Ann"), stack.person("Ann")
    task = ann.add("Still there afterwards")["title"]

    with visit(anyone) as visitor:
        visitor.open("/sign-in")
        visitor.shows("sign-in")
        ask(visitor, ann.email)
        visitor.sees(SENT)
        visitor.shows("forgot-password")
        message = mail.next(ann.email, "Reset")
    # In another browser, such as on a phone.
    with visit(anyone) as visitor:
        visitor.page.goto(link(message))
        visitor.shows("reset-password")
        visitor.fills_in("New password", NEW_PASSWORD)
        visitor.clicks("Reset password")
        visitor.sees("Your password has been reset")
        visitor.shows("sign-in-after-reset")
        visitor.fills_in("Email", ann.email)
        visitor.fills_in("Password", NEW_PASSWORD)
        visitor.clicks("Sign in")
        visitor.sees(task)

    assert (message["From"], message["To"]) == (SENDER, ann.email)
    assert message["Subject"] == "Reset your password for Task Service"
    assert link(message).startswith(stack.site_url)
    assert "one hour" in text(message)
    assert ann.sign_in().status_code == 401
    assert ann.site.get("/api/auth/get-session").json() is None
    assert ann.site.get("/api/auth/token").status_code == 401


@first
def test_reset_link_works_only_once(accounts: Accounts, visit: Visit) -> None:
    ann = accounts.stack.sign_up("Ann")
    url = request_link(accounts, ann)
    with visit(accounts.stack.person("Ann")) as visitor:
        choose(visitor, url)
        visitor.sees("Your password has been reset")
        visitor.page.goto(url)
        visitor.sees(USED)
        visitor.shows("reset-password-used")


@first
def test_reset_link_opened_in_two_windows_works_in_one(accounts: Accounts, visit: Visit) -> None:
    ann = accounts.stack.sign_up("Ann")
    url = request_link(accounts, ann)
    with visit(accounts.stack.person("Ann")) as one, visit(accounts.stack.person("Bob")) as other:
        one.page.goto(url)
        other.page.goto(url)
        one.fills_in("New password", NEW_PASSWORD)
        one.clicks("Reset password")
        one.sees("Your password has been reset")
        other.fills_in("New password", "another password")
        other.clicks("Reset password")
        other.sees(USED)
        other.expected("400")
        one.fills_in("Email", ann.email)
        one.fills_in("Password", NEW_PASSWORD)
        one.clicks("Sign in")
        one.sees("All clear")


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
def test_expired_reset_link_is_rejected(accounts: Accounts, visit: Visit) -> None:
    ann = accounts.stack.sign_up("Ann")
    url = request_link(accounts, ann)
    accounts.stack.change_auth(
        "UPDATE verification SET expiresAt = ? WHERE value = ?", "2026-01-01T00:00:00.000Z", ann.id
    )
    with visit(accounts.stack.person("Ann")) as visitor:
        visitor.page.goto(url)
        visitor.sees(USED)

    assert ann.sign_in().status_code == 200


@first
def test_reset_link_with_an_unknown_token_is_rejected(accounts: Accounts, visit: Visit) -> None:
    ann = accounts.stack.sign_up("Ann")
    with visit(accounts.stack.person("Ann")) as visitor:
        visitor.open("/reset-password?token=aaaaaaaaaaaaaaaaaaaaaaaa")
        visitor.fills_in("New password", NEW_PASSWORD)
        visitor.clicks("Reset password")
        visitor.sees(USED)
        visitor.open("/reset-password")
        visitor.sees(USED)
        visitor.expected("400")

    assert ann.sign_in().status_code == 200


@first
def test_reset_link_changes_only_the_account_it_was_sent_to(
    accounts: Accounts, visit: Visit
) -> None:
    ann, bob = accounts.stack.sign_up("Ann"), accounts.stack.sign_up("Bob")
    url = request_link(accounts, ann)
    with visit(bob) as visitor:
        choose(visitor, url)
        visitor.page.wait_for_url(lambda url: "token" not in url)

    assert bob.sign_in().status_code == 200
    assert ann.sign_in().status_code == 401


@first
def test_reset_link_still_works_after_a_rejected_password(accounts: Accounts, visit: Visit) -> None:
    ann = accounts.stack.sign_up("Ann")
    with visit(accounts.stack.person("Ann")) as visitor:
        choose(visitor, request_link(accounts, ann), "short")
        visitor.sees("Use at least 8 characters.")
        visitor.shows("reset-password-refused")
        visitor.fills_in("New password", NEW_PASSWORD)
        visitor.clicks("Reset password")
        visitor.sees("Your password has been reset")
        visitor.expected("400")


@first
def test_an_unknown_address_gets_the_same_page_and_no_email(
    accounts: Accounts, visit: Visit
) -> None:
    ann, nobody = accounts.stack.sign_up("Ann"), accounts.stack.person("Nobody")
    pages = []
    for person in (ann, nobody):
        with visit(accounts.stack.person("Visitor")) as visitor:
            ask(visitor, person.email)
            visitor.sees(SENT)
            pages.append(visitor.page.locator("main").inner_text().replace(person.email, "…"))
    accounts.mail.next(ann.email, "Reset")

    assert pages[0] == pages[1]
    assert accounts.mail.to(nobody.email) == []


@first
def test_response_time_does_not_reveal_whether_an_account_exists(
    accounts: Accounts,
) -> None:
    seconds = []
    with accounts.mail.slow(2):
        for person in (accounts.stack.sign_up("Ann"), accounts.stack.person("Nobody")):
            began = time.monotonic()
            person.auth("/request-password-reset", email=person.email)
            seconds.append(time.monotonic() - began)

    assert abs(seconds[0] - seconds[1]) < 1, seconds


Failure = Callable[[MailServer], AbstractContextManager[None]]
FAILURES = pytest.mark.parametrize(
    "failure", [MailServer.refusing_connections, MailServer.hanging, MailServer.other_password]
)


@first
@FAILURES
def test_page_says_that_the_email_could_not_be_sent(
    accounts: Accounts, visit: Visit, failure: Failure
) -> None:
    person = accounts.stack.sign_up("Ann")
    with visit(accounts.stack.person("Visitor")) as visitor, failure(accounts.mail):
        visitor.open("/forgot-password")
        visitor.fills_in("Email", person.email)
        began = time.monotonic()
        visitor.clicks("Send reset link")
        visitor.sees(NOT_SENT)
        waited = time.monotonic() - began
        visitor.shows("forgot-password-not-sent")
        typed = visitor.page.get_by_label("Email").input_value()
        visitor.expected("503")

    assert waited < SECONDS
    assert typed == person.email


@first
def test_unknown_address_gets_the_same_error_if_no_email_can_be_sent(
    accounts: Accounts, visit: Visit
) -> None:
    with (
        visit(accounts.stack.person("Visitor")) as visitor,
        accounts.mail.refusing_connections(),
    ):
        ask(visitor, accounts.stack.person("Nobody").email)
        visitor.sees(NOT_SENT)
        visitor.expected("503")


@first
@FAILURES
def test_an_account_is_created_even_if_no_email_can_be_sent(
    accounts: Accounts, visit: Visit, failure: Failure
) -> None:
    ann = accounts.stack.person("Ann")
    with visit(ann) as visitor, failure(accounts.mail), accounts.failing_email():
        visitor.open("/sign-up")
        began = time.monotonic()
        visitor.signs_up()
        visitor.sees("All clear")
        waited = time.monotonic() - began

    assert waited < SECONDS
    assert ann.sign_in().status_code == 200
    assert accounts.mail.to(ann.email) == []


@first
def test_rejected_recipient_is_not_revealed(accounts: Accounts, visit: Visit) -> None:
    ann = accounts.stack.sign_up("Ann")
    with visit(accounts.stack.person("Visitor")) as visitor, accounts.mail.without(ann.email):
        ask(visitor, ann.email)
        visitor.sees(SENT)
    url = request_link(accounts, ann)

    assert len(accounts.mail.to(ann.email, "Reset")) == 1
    assert url.startswith(accounts.stack.site_url)


@first
def test_too_many_reset_requests_are_rejected_with_a_message(
    accounts: Accounts, visit: Visit
) -> None:
    with visit(accounts.stack.person("Visitor")) as visitor:
        visitor.open("/forgot-password")
        button = visitor.page.get_by_role("button")
        for _ in range(4):
            visitor.fills_in("Email", "somebody@example.com")
            with visitor.page.expect_response("**/request-password-reset"):
                visitor.clicks("Send reset link")
            expect(button).to_have_attribute("aria-disabled", "false")
        visitor.sees("Too many attempts.")
        visitor.expected("429")


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
