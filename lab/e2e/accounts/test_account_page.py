"""The account page: email address, password, sessions."""

import time
from urllib.parse import urlsplit

import jwt
import pytest
from playwright.sync_api import expect

from lab.e2e.accounts.project import Accounts, Visit, first
from lab.e2e.mail import link, text
from lab.e2e.people import PASSWORD, Person
from lab.e2e.visitor import Visitor

NEW_PASSWORD = "battery staple"

pytestmark = first


def confirmed(accounts: Accounts, name: str) -> Person:
    """Return a new user whose address is confirmed."""
    person = accounts.stack.sign_up(name)
    person.site.get(link(accounts.mail.next(person.email, "Confirm"))).raise_for_status()
    return person


def user(person: Person) -> dict[str, object]:
    return person.site.get("/api/auth/get-session").json()["user"]


def ask_for_change(visitor: Visitor, email: str) -> None:
    visitor.open("/account")
    visitor.fills_in("New email address", email)
    visitor.clicks("Change email address")


def test_a_link_confirms_the_address_in_any_browser(accounts: Accounts, visit: Visit) -> None:
    stack, mail = accounts.stack, accounts.mail
    ann = stack.person("Ann")
    with visit(ann) as visitor:
        visitor.open("/sign-up")
        visitor.shows("sign-up")
        visitor.signs_up()
        visitor.open("/account")
        visitor.sees(f"{ann.email} is not confirmed yet.")
        visitor.shows("account-unconfirmed")
        visitor.clicks("Resend confirmation email")
        visitor.sees(f"We sent a link to {ann.email}.")
    first, second = mail.next(ann.email, "Confirm"), mail.next(ann.email, "Confirm", after=1)
    with visit(stack.person("Phone")) as visitor:
        visitor.page.goto(link(second))
        visitor.sees("Your email address is confirmed.")
        visitor.shows("verify-email")
        # Both links work, because users may open either one first.
        visitor.page.goto(link(first))
        visitor.sees("Your email address is confirmed.")

    assert ann.sign_in().raise_for_status().json()["user"]["emailVerified"] is True
    assert "If this was not you" in text(first)
    assert ann.name not in text(first)


def test_expired_or_forged_link_does_not_confirm_the_address(
    accounts: Accounts, visit: Visit
) -> None:
    ann = accounts.stack.sign_up("Ann")
    url = link(accounts.mail.next(ann.email, "Confirm"))
    [token] = [part for part in url.replace("?", "&").split("&") if part.startswith("token=")]
    claims = jwt.decode(token.removeprefix("token="), options={"verify_signature": False})
    claims |= {"iat": int(time.time()) - 3700, "exp": int(time.time()) - 100}
    secret = accounts.stack.project.secret
    old = jwt.encode(claims, secret, "HS256")
    forged = jwt.encode(claims | {"exp": 2**31}, "x" * 32, "HS256")
    with visit(accounts.stack.person("Ann")) as visitor:
        visitor.page.goto(url.replace(token, f"token={old}"))
        visitor.sees("This link has expired.")
        visitor.shows("verify-email-expired")
        visitor.page.goto(url.replace(token, f"token={forged}"))
        visitor.sees("This link is invalid")

    assert user(ann)["emailVerified"] is False


def test_token_from_a_link_is_rejected_by_the_api(accounts: Accounts) -> None:
    """Both are signed with the same secret."""
    ann = accounts.stack.sign_up("Ann")
    url = link(accounts.mail.next(ann.email, "Confirm"))
    [token] = [part for part in url.replace("?", "&").split("&") if part.startswith("token=")]

    refused = ann.call("GET", "/api/v1/tasks", token=token.removeprefix("token="))

    assert refused.status_code == 401


def test_changing_a_confirmed_address_needs_links_to_both(accounts: Accounts, visit: Visit) -> None:
    ann, mail = confirmed(accounts, "Ann"), accounts.mail
    new = f"new-{ann.email}"
    with visit(ann) as visitor:
        ask_for_change(visitor, new)
        visitor.sees(f"We sent a link to {ann.email}. Open it to approve the new address.")
        visitor.shows("account-change-asked")
        approval = mail.next(ann.email, "Approve")
        assert mail.to(new) == []
        visitor.page.goto(link(approval))
        visitor.sees("One more step")
        visitor.shows("verify-email-approved")
        assert user(ann)["email"] == ann.email
        visitor.page.goto(link(mail.next(new, "Confirm")))
        visitor.sees("Your new email address is confirmed.")
        visitor.open("/account")
        visitor.sees(f"{new} is confirmed.")
        visitor.shows("account-confirmed")

    assert new in text(approval)
    assert ann.sign_in().status_code == 401
    ann.email = new
    assert ann.sign_in().status_code == 200


def test_changing_an_unconfirmed_address_needs_only_the_link_to_the_new_one(
    accounts: Accounts, visit: Visit
) -> None:
    ann, mail = accounts.stack.sign_up("Ann"), accounts.mail
    welcome = mail.next(ann.email, "Confirm")
    new = f"new-{ann.email}"
    with visit(ann) as visitor:
        ask_for_change(visitor, new)
        visitor.sees(f"We sent a link to {new}.")
        visitor.page.goto(link(mail.next(new, "Confirm")))
        visitor.sees("Your new email address is confirmed.")
        # This link was for the old address.
        visitor.page.goto(link(welcome))
        visitor.sees("This link is invalid")

    assert user(ann)["email"] == new
    assert user(ann)["emailVerified"] is True


def test_changing_to_a_taken_address_does_not_reveal_it(accounts: Accounts, visit: Visit) -> None:
    ann, bob = confirmed(accounts, "Ann"), confirmed(accounts, "Bob")
    pages = []
    for address in (bob.email, f"free-{bob.email}"):
        with visit(ann) as visitor:
            ask_for_change(visitor, address)
            visitor.sees("Open it to approve the new address.")
            pages.append(visitor.page.locator("main").inner_text())

    assert pages[0] == pages[1]
    # Only the request for the free address sends an email, to Ann. Bob's is from his sign-up.
    accounts.mail.next(ann.email, "Approve")
    assert len(accounts.mail.to(bob.email)) == 1
    assert user(ann)["email"] == ann.email
    assert user(bob)["email"] == bob.email


def test_change_of_address_fails_if_it_was_taken_meanwhile(
    accounts: Accounts, visit: Visit
) -> None:
    ann, bob = accounts.stack.sign_up("Ann"), accounts.stack.person("Bob")
    with visit(ann) as visitor:
        ask_for_change(visitor, bob.email)
        visitor.sees("We sent a link to")
        url = link(accounts.mail.next(bob.email, "Confirm"))
        bob.sign_up()
        visitor.page.goto(url)
        visitor.sees("Another account now uses this address")
        visitor.shows("verify-email-taken")

    assert user(ann)["email"] == ann.email
    assert user(bob)["email"] == bob.email


def test_password_reset_ends_a_pending_change_of_address(accounts: Accounts) -> None:
    # As if an attacker had signed up with Ann's address and requested a change to Eve's.
    ann, eve = accounts.stack.sign_up("Ann"), accounts.stack.person("Eve")
    ann.auth("/change-email", newEmail=eve.email)
    change = link(accounts.mail.next(eve.email, "Confirm"))
    time.sleep(1)  # Passwords from the first second of an account do not count as new.
    ann.auth("/request-password-reset", email=ann.email, redirectTo="/reset-password")
    token = urlsplit(link(accounts.mail.next(ann.email, "Reset"))).path.rsplit("/", 1)[1]
    ann.auth("/reset-password", newPassword=NEW_PASSWORD, token=token)

    assert "error=INVALID_TOKEN" in str(eve.site.get(change).url)
    ann.auth("/sign-in/email", email=ann.email, password=NEW_PASSWORD)
    assert user(ann)["email"] == ann.email


def test_only_a_signed_in_user_can_have_the_link_sent_again(accounts: Accounts) -> None:
    ann, eve = accounts.stack.sign_up("Ann"), accounts.stack.person("Eve")
    body = {"email": ann.email}

    assert eve.site.post("/api/auth/send-verification-email", json=body).status_code == 401
    assert ann.site.post("/api/auth/send-verification-email", json=body).status_code == 200


@pytest.mark.parametrize("name", ["UNKNOWN", "__proto__", "constructor"])
def test_unknown_results_in_urls_show_pages(accounts: Accounts, name: str) -> None:
    for page in ("/sign-in?error=", "/verify-email?error=", "/verify-email?step="):
        response = accounts.stack.person("Ann").site.get(page + name)
        assert response.status_code == 200
        assert "is confirmed" not in response.text


def test_link_of_another_user_changes_nothing(accounts: Accounts, visit: Visit) -> None:
    ann, bob = accounts.stack.sign_up("Ann"), accounts.stack.sign_up("Bob")
    new = f"new-{ann.email}"
    ann.auth("/change-email", newEmail=new)
    with visit(bob) as visitor:
        visitor.page.goto(link(accounts.mail.next(new, "Confirm")))
        visitor.sees("This link belongs to another account")
        visitor.shows("verify-email-of-another-user")

    assert user(ann)["email"] == ann.email
    assert user(bob)["email"] == bob.email


def test_address_stays_if_the_email_cannot_be_sent(accounts: Accounts, visit: Visit) -> None:
    ann = accounts.stack.sign_up("Ann")
    accounts.mail.next(ann.email, "Confirm")
    new = f"new-{ann.email}"
    with visit(ann) as visitor, accounts.mail.refusing_connections():
        ask_for_change(visitor, new)
        visitor.sees("The email could not be sent.")
        visitor.shows("account-not-sent")
        typed = visitor.page.get_by_label("New email address").input_value()
        visitor.clicks("Resend confirmation email")
        expect(visitor.page.get_by_text("The email could not be sent.")).to_have_count(2)
        visitor.expected("503")

    assert typed == new
    assert user(ann)["email"] == ann.email


@pytest.mark.parametrize("address", ["", "no address", "a@b", "two@example.com, three@example.com"])
def test_invalid_address_is_rejected_with_a_message(
    accounts: Accounts, visit: Visit, address: str
) -> None:
    with visit(accounts.stack.sign_up("Ann")) as visitor:
        ask_for_change(visitor, address)
        field = visitor.page.get_by_label("New email address")
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_be_focused()
        expect(field).to_have_value(address)
        if "@" in address:
            visitor.expected("400")


def test_changing_the_password_ends_all_other_sessions(accounts: Accounts, visit: Visit) -> None:
    ann = accounts.stack.sign_up("Ann")
    with visit(accounts.stack.person("Ann")) as visitor:
        visitor.open("/sign-in")
        visitor.signs_in(ann)
        visitor.open("/account")
        visitor.fills_in("Current password", "wrong password")
        visitor.fills_in("New password", NEW_PASSWORD)
        visitor.clicks("Change password")
        visitor.sees("Incorrect password.")
        visitor.shows("account-wrong-password")
        expect(visitor.page.get_by_label("New password")).to_have_value(NEW_PASSWORD)
        still = ann.sign_in().status_code
        visitor.fills_in("Current password", PASSWORD)
        visitor.clicks("Change password")
        visitor.sees("Your password has been changed")
        visitor.open("/")
        visitor.sees("All clear")
        visitor.expected("400")

    assert still == 200
    assert ann.sign_in().status_code == 401
    assert ann.site.get("/api/auth/token").status_code == 401


def test_an_ended_session_is_signed_out_at_its_next_request(
    accounts: Accounts, visit: Visit
) -> None:
    ann = accounts.stack.sign_up("Ann")
    with visit(accounts.stack.person("Laptop")) as laptop, visit(ann) as phone:
        laptop.open("/sign-in")
        laptop.signs_in(ann)
        phone.open("/")
        phone.adds("Seen on the phone")
        laptop.open("/account")
        laptop.shows("account-sessions")
        laptop.page.get_by_role("button", name="End session:").first.click()
        expect(laptop.page.get_by_role("button", name="End session:")).to_have_count(0)
        refused = phone.page.evaluate("async () => (await fetch('/api/auth/token')).status")
        phone.page.reload()
        phone.page.wait_for_url("**/sign-in")
        phone.expected("401")
        laptop.open("/")
        laptop.sees("Seen on the phone")

    assert refused == 401


def test_all_other_sessions_can_be_ended(accounts: Accounts, visit: Visit) -> None:
    ann = accounts.stack.sign_up("Ann")
    ann.sign_in().raise_for_status()
    with visit(accounts.stack.person("Laptop")) as laptop:
        laptop.open("/sign-in")
        laptop.signs_in(ann)
        laptop.open("/account")
        expect(laptop.page.get_by_role("button", name="End session:")).to_have_count(2)
        laptop.clicks("End all other sessions")
        expect(laptop.page.get_by_role("button", name="End session:")).to_have_count(0)
        laptop.sees("This session")

    assert ann.site.get("/api/auth/token").status_code == 401


def test_a_session_of_another_user_cannot_be_ended(accounts: Accounts) -> None:
    ann, bob = accounts.stack.sign_up("Ann"), accounts.stack.sign_up("Bob")

    ann.auth("/end-session", id=bob.session()["id"])

    assert bob.site.get("/api/auth/get-session").json() is not None


def test_the_page_contains_no_session_token(accounts: Accounts) -> None:
    ann = accounts.stack.sign_up("Ann")
    ann.sign_in().raise_for_status()

    page = ann.site.get("/account").raise_for_status().text

    assert ann.email in page
    assert ann.session()["token"] not in page
