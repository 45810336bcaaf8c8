"""The account page: email address, password, sessions."""

import time
from urllib.parse import urlsplit

import jwt
import pytest
from playwright.sync_api import expect

from lab.e2e.accounts.project import Accounts, Browse, first
from lab.e2e.browser_user import BrowserUser
from lab.e2e.mail import link, text
from lab.e2e.users import PASSWORD, User

NEW_PASSWORD = "battery staple"

pytestmark = first


def confirmed(accounts: Accounts, name: str) -> User:
    """Return a new user whose address is confirmed."""
    user = accounts.stack.sign_up(name)
    user.site.get(link(accounts.mail.next(user.email, "Confirm"))).raise_for_status()
    return user


def account(user: User) -> dict[str, object]:
    return user.site.get("/api/auth/get-session").json()["user"]


def ask_for_change(browser_user: BrowserUser, email: str) -> None:
    browser_user.open("/account")
    browser_user.fill_in("New email address", email)
    browser_user.click("Change email address")


def test_link_confirms_the_address_in_any_browser(accounts: Accounts, browse: Browse) -> None:
    stack, mail = accounts.stack, accounts.mail
    ann = stack.user("Ann")
    with browse(ann) as browser_user:
        browser_user.open("/sign-up")
        browser_user.check_page("sign-up")
        browser_user.sign_up()
        browser_user.open("/account")
        browser_user.expect_text(f"{ann.email} is not confirmed yet.")
        browser_user.check_page("account-unconfirmed")
        browser_user.click("Resend confirmation email")
        browser_user.expect_text(f"We sent a link to {ann.email}.")
    first, second = mail.next(ann.email, "Confirm"), mail.next(ann.email, "Confirm", after=1)
    with browse(stack.user("Phone")) as browser_user:
        browser_user.page.goto(link(second))
        browser_user.expect_text("Your email address is confirmed.")
        browser_user.check_page("verify-email")
        # Both links work, because users may open either one first.
        browser_user.page.goto(link(first))
        browser_user.expect_text("Your email address is confirmed.")

    assert ann.sign_in().raise_for_status().json()["user"]["emailVerified"] is True
    assert "If this was not you" in text(first)
    assert ann.name not in text(first)


def test_expired_or_forged_link_does_not_confirm_the_address(
    accounts: Accounts, browse: Browse
) -> None:
    ann = accounts.stack.sign_up("Ann")
    url = link(accounts.mail.next(ann.email, "Confirm"))
    [token] = [part for part in url.replace("?", "&").split("&") if part.startswith("token=")]
    claims = jwt.decode(token.removeprefix("token="), options={"verify_signature": False})
    claims |= {"iat": int(time.time()) - 3700, "exp": int(time.time()) - 100}
    secret = accounts.stack.project.secret
    old = jwt.encode(claims, secret, "HS256")
    forged = jwt.encode(claims | {"exp": 2**31}, "x" * 32, "HS256")
    with browse(accounts.stack.user("Ann")) as browser_user:
        browser_user.page.goto(url.replace(token, f"token={old}"))
        browser_user.expect_text("This link has expired.")
        browser_user.check_page("verify-email-expired")
        browser_user.page.goto(url.replace(token, f"token={forged}"))
        browser_user.expect_text("This link is invalid")

    assert account(ann)["emailVerified"] is False


def test_token_from_a_link_is_rejected_by_the_api(accounts: Accounts) -> None:
    """Both are signed with the same secret."""
    ann = accounts.stack.sign_up("Ann")
    url = link(accounts.mail.next(ann.email, "Confirm"))
    [token] = [part for part in url.replace("?", "&").split("&") if part.startswith("token=")]

    refused = ann.call("GET", "/api/v1/tasks", token=token.removeprefix("token="))

    assert refused.status_code == 401


def test_changing_a_confirmed_address_needs_links_to_both(
    accounts: Accounts, browse: Browse
) -> None:
    ann, mail = confirmed(accounts, "Ann"), accounts.mail
    new = f"new-{ann.email}"
    with browse(ann) as browser_user:
        ask_for_change(browser_user, new)
        browser_user.expect_text(
            f"We sent a link to {ann.email}. Open it to approve the new address."
        )
        browser_user.check_page("account-change-asked")
        approval = mail.next(ann.email, "Approve")
        assert mail.to(new) == []
        browser_user.page.goto(link(approval))
        browser_user.expect_text("One more step")
        browser_user.check_page("verify-email-approved")
        assert account(ann)["email"] == ann.email
        browser_user.page.goto(link(mail.next(new, "Confirm")))
        browser_user.expect_text("Your new email address is confirmed.")
        browser_user.open("/account")
        browser_user.expect_text(f"{new} is confirmed.")
        browser_user.check_page("account-confirmed")

    assert new in text(approval)
    assert ann.sign_in().status_code == 401
    ann.email = new
    assert ann.sign_in().status_code == 200


def test_changing_an_unconfirmed_address_needs_only_the_link_to_the_new_one(
    accounts: Accounts, browse: Browse
) -> None:
    ann, mail = accounts.stack.sign_up("Ann"), accounts.mail
    welcome = mail.next(ann.email, "Confirm")
    new = f"new-{ann.email}"
    with browse(ann) as browser_user:
        ask_for_change(browser_user, new)
        browser_user.expect_text(f"We sent a link to {new}.")
        browser_user.page.goto(link(mail.next(new, "Confirm")))
        browser_user.expect_text("Your new email address is confirmed.")
        # This link was for the old address.
        browser_user.page.goto(link(welcome))
        browser_user.expect_text("This link is invalid")

    assert account(ann)["email"] == new
    assert account(ann)["emailVerified"] is True


def test_changing_to_a_taken_address_does_not_reveal_it(accounts: Accounts, browse: Browse) -> None:
    ann, bob = confirmed(accounts, "Ann"), confirmed(accounts, "Bob")
    pages = []
    for address in (bob.email, f"free-{bob.email}"):
        with browse(ann) as browser_user:
            ask_for_change(browser_user, address)
            browser_user.expect_text("Open it to approve the new address.")
            pages.append(browser_user.page.locator("main").inner_text())

    assert pages[0] == pages[1]
    # Only the request for the free address sends an email, to Ann. Bob's is from his sign-up.
    accounts.mail.next(ann.email, "Approve")
    assert len(accounts.mail.to(bob.email)) == 1
    assert account(ann)["email"] == ann.email
    assert account(bob)["email"] == bob.email


def test_change_of_address_fails_if_it_was_taken_meanwhile(
    accounts: Accounts, browse: Browse
) -> None:
    ann, bob = accounts.stack.sign_up("Ann"), accounts.stack.user("Bob")
    with browse(ann) as browser_user:
        ask_for_change(browser_user, bob.email)
        browser_user.expect_text("We sent a link to")
        url = link(accounts.mail.next(bob.email, "Confirm"))
        bob.sign_up()
        browser_user.page.goto(url)
        browser_user.expect_text("Another account now uses this address")
        browser_user.check_page("verify-email-taken")

    assert account(ann)["email"] == ann.email
    assert account(bob)["email"] == bob.email


def test_password_reset_ends_a_pending_change_of_address(accounts: Accounts) -> None:
    # As if an attacker had signed up with Ann's address and requested a change to Eve's.
    ann, eve = accounts.stack.sign_up("Ann"), accounts.stack.user("Eve")
    ann.auth("/change-email", newEmail=eve.email)
    change = link(accounts.mail.next(eve.email, "Confirm"))
    time.sleep(1)  # Passwords from the first second of an account do not count as new.
    ann.auth("/request-password-reset", email=ann.email, redirectTo="/reset-password")
    token = urlsplit(link(accounts.mail.next(ann.email, "Reset"))).path.rsplit("/", 1)[1]
    ann.auth("/reset-password", newPassword=NEW_PASSWORD, token=token)

    assert "error=INVALID_TOKEN" in str(eve.site.get(change).url)
    ann.auth("/sign-in/email", email=ann.email, password=NEW_PASSWORD)
    assert account(ann)["email"] == ann.email


def test_only_a_signed_in_user_can_have_the_link_sent_again(accounts: Accounts) -> None:
    ann, eve = accounts.stack.sign_up("Ann"), accounts.stack.user("Eve")
    body = {"email": ann.email}

    assert eve.site.post("/api/auth/send-verification-email", json=body).status_code == 401
    assert ann.site.post("/api/auth/send-verification-email", json=body).status_code == 200


@pytest.mark.parametrize("name", ["UNKNOWN", "__proto__", "constructor"])
def test_unknown_results_in_urls_show_pages(accounts: Accounts, name: str) -> None:
    for page in ("/sign-in?error=", "/verify-email?error=", "/verify-email?step="):
        response = accounts.stack.user("Ann").site.get(page + name)
        assert response.status_code == 200
        assert "is confirmed" not in response.text


def test_link_of_another_user_changes_nothing(accounts: Accounts, browse: Browse) -> None:
    ann, bob = accounts.stack.sign_up("Ann"), accounts.stack.sign_up("Bob")
    new = f"new-{ann.email}"
    ann.auth("/change-email", newEmail=new)
    with browse(bob) as browser_user:
        browser_user.page.goto(link(accounts.mail.next(new, "Confirm")))
        browser_user.expect_text("This link belongs to another account")
        browser_user.check_page("verify-email-of-another-user")

    assert account(ann)["email"] == ann.email
    assert account(bob)["email"] == bob.email


def test_address_stays_if_the_email_cannot_be_sent(accounts: Accounts, browse: Browse) -> None:
    ann = accounts.stack.sign_up("Ann")
    accounts.mail.next(ann.email, "Confirm")
    new = f"new-{ann.email}"
    with browse(ann) as browser_user, accounts.mail.refusing_connections():
        ask_for_change(browser_user, new)
        browser_user.expect_text("The email could not be sent.")
        browser_user.check_page("account-not-sent")
        typed = browser_user.page.get_by_label("New email address").input_value()
        browser_user.click("Resend confirmation email")
        expect(browser_user.page.get_by_text("The email could not be sent.")).to_have_count(2)
        browser_user.expect_console_error("503")

    assert typed == new
    assert account(ann)["email"] == ann.email


@pytest.mark.parametrize("address", ["", "no address", "a@b", "two@example.com, three@example.com"])
def test_invalid_address_is_rejected_with_a_message(
    accounts: Accounts, browse: Browse, address: str
) -> None:
    with browse(accounts.stack.sign_up("Ann")) as browser_user:
        ask_for_change(browser_user, address)
        field = browser_user.page.get_by_label("New email address")
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_be_focused()
        expect(field).to_have_value(address)
        if "@" in address:
            browser_user.expect_console_error("400")


def test_changing_the_password_ends_all_other_sessions(accounts: Accounts, browse: Browse) -> None:
    ann = accounts.stack.sign_up("Ann")
    with browse(accounts.stack.user("Ann")) as browser_user:
        browser_user.open("/sign-in")
        browser_user.sign_in(ann)
        browser_user.open("/account")
        browser_user.fill_in("Current password", "wrong password")
        browser_user.fill_in("New password", NEW_PASSWORD)
        browser_user.click("Change password")
        browser_user.expect_text("Incorrect password.")
        browser_user.check_page("account-wrong-password")
        expect(browser_user.page.get_by_label("New password")).to_have_value(NEW_PASSWORD)
        still = ann.sign_in().status_code
        browser_user.fill_in("Current password", PASSWORD)
        browser_user.click("Change password")
        browser_user.expect_text("Your password has been changed")
        browser_user.open("/")
        browser_user.expect_text("All clear")
        browser_user.expect_console_error("400")

    assert still == 200
    assert ann.sign_in().status_code == 401
    assert ann.site.get("/api/auth/token").status_code == 401


def test_ended_session_is_signed_out_at_its_next_request(
    accounts: Accounts, browse: Browse
) -> None:
    ann = accounts.stack.sign_up("Ann")
    with browse(accounts.stack.user("Laptop")) as laptop, browse(ann) as phone:
        laptop.open("/sign-in")
        laptop.sign_in(ann)
        phone.open("/")
        phone.add_task("Seen on the phone")
        laptop.open("/account")
        laptop.check_page("account-sessions")
        laptop.page.get_by_role("button", name="End session:").first.click()
        expect(laptop.page.get_by_role("button", name="End session:")).to_have_count(0)
        refused = phone.page.evaluate("async () => (await fetch('/api/auth/token')).status")
        phone.page.reload()
        phone.page.wait_for_url("**/sign-in")
        phone.expect_console_error("401")
        laptop.open("/")
        laptop.expect_text("Seen on the phone")

    assert refused == 401


def test_all_other_sessions_can_be_ended(accounts: Accounts, browse: Browse) -> None:
    ann = accounts.stack.sign_up("Ann")
    ann.sign_in().raise_for_status()
    with browse(accounts.stack.user("Laptop")) as laptop:
        laptop.open("/sign-in")
        laptop.sign_in(ann)
        laptop.open("/account")
        expect(laptop.page.get_by_role("button", name="End session:")).to_have_count(2)
        laptop.click("End all other sessions")
        expect(laptop.page.get_by_role("button", name="End session:")).to_have_count(0)
        laptop.expect_text("This session")

    assert ann.site.get("/api/auth/token").status_code == 401


def test_session_of_another_user_cannot_be_ended(accounts: Accounts) -> None:
    ann, bob = accounts.stack.sign_up("Ann"), accounts.stack.sign_up("Bob")

    ann.auth("/end-session", id=bob.session()["id"])

    assert bob.site.get("/api/auth/get-session").json() is not None


def test_page_contains_no_session_token(accounts: Accounts) -> None:
    ann = accounts.stack.sign_up("Ann")
    ann.sign_in().raise_for_status()

    page = ann.site.get("/account").raise_for_status().text

    assert ann.email in page
    assert ann.session()["token"] not in page
