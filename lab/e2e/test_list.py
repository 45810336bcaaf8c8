"""The task list in a real browser: server rendering, filters, editing, several windows."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import pytest
from playwright.sync_api import Browser, expect

from lab.e2e.browser_user import BrowserUser, browsing
from lab.e2e.stack import COMBINATIONS, Stack
from lab.e2e.users import PASSWORD, TASKS, User

pytestmark = pytest.mark.parametrize(
    "stack", COMBINATIONS[:1], indirect=True, ids="-".join, scope="session"
)

Browse = Callable[..., AbstractContextManager[BrowserUser]]

NOTES = "The ones on the balcony.\nTwice a day in July."


@pytest.fixture
def browse(browser: Browser, stack: Stack, axe: str) -> Browse:
    return partial(browsing, browser, stack, axe)


@pytest.fixture
def user(stack: Stack) -> User:
    return stack.sign_up("Ann")


@contextmanager
def frozen(stack: Stack) -> Iterator[None]:
    """Until the block ends, the service accepts connections but sends no responses."""
    os.killpg(stack.service.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(stack.service.pid, signal.SIGCONT)


def test_first_page_of_tasks_is_visible_without_javascript(user: User, browse: Browse) -> None:
    user.add("Book the train")
    user.add("Water the tomatoes", completed=True, description=NOTES)
    with browse(user, scripts=False) as ann:
        ann.open("/")
        ann.expect_tasks("Water the tomatoes", "Book the train")
        ann.expect_text("Twice a day in July.")
        ann.filter("Open")
        ann.expect_tasks("Book the train")


def test_browser_does_not_fetch_again_what_the_server_rendered(
    user: User, stack: Stack, browse: Browse
) -> None:
    user.add("Book the train")
    with browse(user) as ann:
        fetched: list[str] = []
        ann.page.on("request", lambda request: fetched.append(request.url))
        ann.open("/")
        expect(ann.task("Book the train")).to_be_enabled()
        ann.page.wait_for_load_state("networkidle")

    assert not [url for url in fetched if url.startswith(stack.api_url)]


def test_page_is_rendered_even_if_the_service_does_not_respond(
    user: User, stack: Stack, browse: Browse
) -> None:
    user.add("Book the train")
    with browse(user) as ann:
        with frozen(stack):
            start = time.monotonic()
            ann.open("/")
            ann.expect_text("Loading your tasks…")
            waited = time.monotonic() - start
        ann.expect_tasks("Book the train")

    assert 2 <= waited < 5


def test_list_appears_once_the_browser_is_online_again(user: User, browse: Browse) -> None:
    user.add("Send the invoice", completed=True)
    with browse(user) as ann:
        ann.open("/")
        ann.expect_tasks("Send the invoice")
        ann.page.context.set_offline(True)
        ann.filter("Done")
        ann.expect_text("This page retries automatically.")
        ann.check_accessibility()
        ann.page.context.set_offline(False)
        ann.expect_tasks("Send the invoice")
        ann.expect_console_error("ERR_INTERNET_DISCONNECTED")


def test_filter_shows_open_or_done_tasks_and_stays_in_the_url(user: User, browse: Browse) -> None:
    user.add("Book the train")
    user.add("Send the invoice", completed=True)
    user.add("Water the tomatoes")
    with browse(user) as ann:
        ann.open("/")
        ann.filter("Open")
        ann.expect_tasks("Water the tomatoes", "Book the train")
        expect(ann.page.locator("[aria-current=page]")).to_have_text("open")
        ann.check_accessibility()
        ann.page.reload()
        ann.expect_tasks("Water the tomatoes", "Book the train")

        ann.page.keyboard.press("Tab")
        ann.task("Water the tomatoes").press("Space")
        ann.expect_tasks("Book the train")
        expect(ann.focused).to_have_accessible_name("Book the train")
        ann.filter("Done")
        ann.expect_tasks("Water the tomatoes", "Send the invoice")
        assert ann.page.url.endswith("/?show=done")
        ann.add_task("Call Frida")
        ann.expect_tasks("Call Frida", "Water the tomatoes", "Send the invoice", "Book the train")
        ann.page.go_back()
        ann.expect_tasks("Water the tomatoes", "Send the invoice")


def test_edited_title_and_description_are_saved(user: User, browse: Browse) -> None:
    user.add("Water the tomatoes", description=NOTES)
    with browse(user) as ann:
        ann.open("/")
        ann.click("Edit Water the tomatoes")
        expect(ann.focused).to_have_accessible_name("Title")
        ann.check_accessibility()
        ann.page.keyboard.type("Not this")
        ann.page.keyboard.press("Escape")
        expect(ann.focused).to_have_accessible_name("Edit Water the tomatoes")
        ann.page.keyboard.press("Enter")
        expect(ann.page.get_by_label("Description")).to_have_value(NOTES)
        ann.page.keyboard.type(" ")
        ann.click("Save")
        ann.expect_text("Enter a title.")
        ann.check_accessibility()
        ann.fill_in("Title", "Water the roses")
        ann.fill_in("Description", "Once.")
        ann.click("Save")
        expect(ann.focused).to_have_accessible_name("Edit Water the roses")
        expect(ann.task("Water the roses")).to_have_accessible_description("Once.")

    [task] = user.tasks()
    assert (task["title"], task["description"]) == ("Water the roses", "Once.")


def test_undo_restores_title_description_and_state(user: User, browse: Browse) -> None:
    fields = {"title": "Water the tomatoes", "description": NOTES, "completed": True}
    user.add(**fields)
    user.add("Book the train")
    with browse(user) as ann:
        ann.open("/")
        ann.click("Delete Water the tomatoes")
        ann.expect_tasks("Book the train")
        expect(ann.focused).to_have_accessible_name("Book the train")
        ann.click("Undo")
        ann.expect_tasks("Water the tomatoes", "Book the train")
        expect(ann.focused).to_have_accessible_name("Water the tomatoes")

    assert user.tasks()[0].items() >= fields.items()


def test_change_made_in_another_window_appears_on_return(user: User, browse: Browse) -> None:
    task = user.add("Book the train")
    with browse(user) as ann:
        ann.open("/")
        ann.new_task.fill("Being typed")
        ann.click("Edit Book the train")
        ann.page.keyboard.type("Book the night train")
        user.call("DELETE", f"{TASKS}/{task['id']}")
        user.add("Water the tomatoes")
        ann.refocus()
        expect(ann.task("Water the tomatoes")).to_be_visible()
        expect(ann.new_task).to_have_value("Being typed")
        expect(ann.page.get_by_label("Title")).to_have_value("Book the night train")
        ann.click("Save")
        ann.expect_text("This task no longer exists.")
        expect(ann.page.get_by_label("Title")).to_have_value("Book the night train")
        ann.click("Cancel")
        ann.expect_tasks("Water the tomatoes")
        ann.expect_console_error("404")


def test_saving_does_not_overwrite_a_change_made_in_another_window(
    user: User, browse: Browse
) -> None:
    task = user.add("Book the train")
    with browse(user) as ann:
        ann.open("/")
        ann.click("Edit Book the train")
        ann.page.keyboard.type("Book the night train")
        user.call("PATCH", f"{TASKS}/{task['id']}", json={"title": "Book the bus"})
        ann.refocus()
        ann.click("Save")
        ann.expect_text("It now reads “Book the bus” and is not done.")
        assert user.titles() == ["Book the bus"]
        ann.click("Save")
        ann.expect_tasks("Book the night train")
        ann.expect_console_error("412")

    assert user.titles() == ["Book the night train"]


def test_typed_text_stays_while_the_user_is_signed_out(user: User, browse: Browse) -> None:
    user.add("Book the train")
    with browse(user) as ann:
        ann.open("/")
        ann.click("Edit Book the train")
        ann.page.keyboard.type("Book the night train")
        user.auth("/sign-out")
        ann.submit_task("Water the tomatoes")
        ann.expect_text("You are signed out")
        with ann.page.expect_popup() as opened:
            ann.page.get_by_role("link", name="Sign in again in a new tab").click()
        tab = opened.value
        tab.get_by_label(re.compile("E-?mail")).fill(user.email)
        tab.get_by_label("Password").fill(PASSWORD)
        tab.get_by_role("button", name="Sign in").click()
        expect(tab.get_by_role("checkbox", name="Book the train")).to_be_visible()
        ann.refocus(from_tab=True)
        expect(ann.new_task).to_have_value("Water the tomatoes")
        expect(ann.page.get_by_label("Title")).to_have_value("Book the night train")
        ann.click("Save")
        ann.click("Add")
        ann.expect_tasks("Water the tomatoes", "Book the night train")
        ann.expect_console_error("401")


def test_loading_more_moves_the_focus_to_the_first_new_task(user: User, browse: Browse) -> None:
    titles = [f"Task {number}" for number in range(25, 0, -1)]
    for title in reversed(titles):
        user.add(title)
    with browse(user) as ann:
        ann.open("/")
        ann.expect_tasks(*titles[:20])
        ann.click("Load more")
        ann.expect_tasks(*titles)
        expect(ann.focused).to_have_accessible_name("Task 5")
        expect(ann.page.get_by_role("status")).to_have_text("Loaded 5 more tasks.")
        expect(ann.page.get_by_role("button", name="Load more")).to_have_count(0)
