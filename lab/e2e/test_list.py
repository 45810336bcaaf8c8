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

from lab.e2e.people import PASSWORD, TASKS, Person
from lab.e2e.stack import COMBINATIONS, Stack
from lab.e2e.visitor import Visitor, visiting

pytestmark = pytest.mark.parametrize(
    "stack", COMBINATIONS[:1], indirect=True, ids="-".join, scope="session"
)

Visit = Callable[..., AbstractContextManager[Visitor]]

NOTES = "The ones on the balcony.\nTwice a day in July."


@pytest.fixture
def visit(browser: Browser, stack: Stack, axe: str) -> Visit:
    return partial(visiting, browser, stack, axe)


@pytest.fixture
def person(stack: Stack) -> Person:
    return stack.sign_up("Ann")


@contextmanager
def frozen(stack: Stack) -> Iterator[None]:
    """Until the block ends, the service accepts connections but sends no responses."""
    os.killpg(stack.service.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(stack.service.pid, signal.SIGCONT)


def test_first_page_of_tasks_is_visible_without_javascript(person: Person, visit: Visit) -> None:
    person.add("Book the train")
    person.add("Water the tomatoes", completed=True, description=NOTES)
    with visit(person, scripts=False) as ann:
        ann.open("/")
        ann.sees_tasks("Water the tomatoes", "Book the train")
        ann.sees("Twice a day in July.")
        ann.filters("Open")
        ann.sees_tasks("Book the train")


def test_browser_does_not_fetch_again_what_the_server_rendered(
    person: Person, stack: Stack, visit: Visit
) -> None:
    person.add("Book the train")
    with visit(person) as ann:
        fetched: list[str] = []
        ann.page.on("request", lambda request: fetched.append(request.url))
        ann.open("/")
        expect(ann.task("Book the train")).to_be_enabled()
        ann.page.wait_for_load_state("networkidle")

    assert not [url for url in fetched if url.startswith(stack.api_url)]


def test_page_is_rendered_even_if_the_service_does_not_respond(
    person: Person, stack: Stack, visit: Visit
) -> None:
    person.add("Book the train")
    with visit(person) as ann:
        with frozen(stack):
            start = time.monotonic()
            ann.open("/")
            ann.sees("Loading your tasks…")
            waited = time.monotonic() - start
        ann.sees_tasks("Book the train")

    assert 2 <= waited < 5


def test_list_appears_once_the_browser_is_online_again(person: Person, visit: Visit) -> None:
    person.add("Send the invoice", completed=True)
    with visit(person) as ann:
        ann.open("/")
        ann.sees_tasks("Send the invoice")
        ann.page.context.set_offline(True)
        ann.filters("Done")
        ann.sees("This page retries automatically.")
        ann.finds_no_barrier()
        ann.page.context.set_offline(False)
        ann.sees_tasks("Send the invoice")
        ann.expected("ERR_INTERNET_DISCONNECTED")


def test_filter_shows_open_or_done_tasks_and_stays_in_the_url(person: Person, visit: Visit) -> None:
    person.add("Book the train")
    person.add("Send the invoice", completed=True)
    person.add("Water the tomatoes")
    with visit(person) as ann:
        ann.open("/")
        ann.filters("Open")
        ann.sees_tasks("Water the tomatoes", "Book the train")
        expect(ann.page.locator("[aria-current=page]")).to_have_text("open")
        ann.finds_no_barrier()
        ann.page.reload()
        ann.sees_tasks("Water the tomatoes", "Book the train")

        ann.page.keyboard.press("Tab")
        ann.task("Water the tomatoes").press("Space")
        ann.sees_tasks("Book the train")
        expect(ann.focused).to_have_accessible_name("Book the train")
        ann.filters("Done")
        ann.sees_tasks("Water the tomatoes", "Send the invoice")
        assert ann.page.url.endswith("/?show=done")
        ann.adds("Call Frida")
        ann.sees_tasks("Call Frida", "Water the tomatoes", "Send the invoice", "Book the train")
        ann.page.go_back()
        ann.sees_tasks("Water the tomatoes", "Send the invoice")


def test_edited_title_and_description_are_saved(person: Person, visit: Visit) -> None:
    person.add("Water the tomatoes", description=NOTES)
    with visit(person) as ann:
        ann.open("/")
        ann.clicks("Edit Water the tomatoes")
        expect(ann.focused).to_have_accessible_name("Title")
        ann.finds_no_barrier()
        ann.page.keyboard.type("Not this")
        ann.page.keyboard.press("Escape")
        expect(ann.focused).to_have_accessible_name("Edit Water the tomatoes")
        ann.page.keyboard.press("Enter")
        expect(ann.page.get_by_label("Description")).to_have_value(NOTES)
        ann.page.keyboard.type(" ")
        ann.clicks("Save")
        ann.sees("Enter a title.")
        ann.finds_no_barrier()
        ann.fills_in("Title", "Water the roses")
        ann.fills_in("Description", "Once.")
        ann.clicks("Save")
        expect(ann.focused).to_have_accessible_name("Edit Water the roses")
        expect(ann.task("Water the roses")).to_have_accessible_description("Once.")

    [task] = person.tasks()
    assert (task["title"], task["description"]) == ("Water the roses", "Once.")


def test_undo_restores_title_description_and_state(person: Person, visit: Visit) -> None:
    fields = {"title": "Water the tomatoes", "description": NOTES, "completed": True}
    person.add(**fields)
    person.add("Book the train")
    with visit(person) as ann:
        ann.open("/")
        ann.clicks("Delete Water the tomatoes")
        ann.sees_tasks("Book the train")
        expect(ann.focused).to_have_accessible_name("Book the train")
        ann.clicks("Undo")
        ann.sees_tasks("Water the tomatoes", "Book the train")
        expect(ann.focused).to_have_accessible_name("Water the tomatoes")

    assert person.tasks()[0].items() >= fields.items()


def test_change_made_in_another_window_appears_on_return(person: Person, visit: Visit) -> None:
    task = person.add("Book the train")
    with visit(person) as ann:
        ann.open("/")
        ann.new_task.fill("Being typed")
        ann.clicks("Edit Book the train")
        ann.page.keyboard.type("Book the night train")
        person.call("DELETE", f"{TASKS}/{task['id']}")
        person.add("Water the tomatoes")
        ann.returns()
        expect(ann.task("Water the tomatoes")).to_be_visible()
        expect(ann.new_task).to_have_value("Being typed")
        expect(ann.page.get_by_label("Title")).to_have_value("Book the night train")
        ann.clicks("Save")
        ann.sees("This task no longer exists.")
        expect(ann.page.get_by_label("Title")).to_have_value("Book the night train")
        ann.clicks("Cancel")
        ann.sees_tasks("Water the tomatoes")
        ann.expected("404")


def test_saving_does_not_overwrite_a_change_made_in_another_window(
    person: Person, visit: Visit
) -> None:
    task = person.add("Book the train")
    with visit(person) as ann:
        ann.open("/")
        ann.clicks("Edit Book the train")
        ann.page.keyboard.type("Book the night train")
        person.call("PATCH", f"{TASKS}/{task['id']}", json={"title": "Book the bus"})
        ann.returns()
        ann.clicks("Save")
        ann.sees("It now reads “Book the bus” and is not done.")
        assert person.titles() == ["Book the bus"]
        ann.clicks("Save")
        ann.sees_tasks("Book the night train")
        ann.expected("412")

    assert person.titles() == ["Book the night train"]


def test_typed_text_stays_while_the_user_is_signed_out(person: Person, visit: Visit) -> None:
    person.add("Book the train")
    with visit(person) as ann:
        ann.open("/")
        ann.clicks("Edit Book the train")
        ann.page.keyboard.type("Book the night train")
        person.auth("/sign-out")
        ann.types("Water the tomatoes")
        ann.sees("You are signed out")
        with ann.page.expect_popup() as opened:
            ann.page.get_by_role("link", name="Sign in again in a new tab").click()
        tab = opened.value
        tab.get_by_label(re.compile("E-?mail")).fill(person.email)
        tab.get_by_label("Password").fill(PASSWORD)
        tab.get_by_role("button", name="Sign in").click()
        expect(tab.get_by_role("checkbox", name="Book the train")).to_be_visible()
        ann.returns(from_tab=True)
        expect(ann.new_task).to_have_value("Water the tomatoes")
        expect(ann.page.get_by_label("Title")).to_have_value("Book the night train")
        ann.clicks("Save")
        ann.clicks("Add")
        ann.sees_tasks("Water the tomatoes", "Book the night train")
        ann.expected("401")


def test_loading_more_moves_the_focus_to_the_first_new_task(person: Person, visit: Visit) -> None:
    titles = [f"Task {number}" for number in range(25, 0, -1)]
    for title in reversed(titles):
        person.add(title)
    with visit(person) as ann:
        ann.open("/")
        ann.sees_tasks(*titles[:20])
        ann.clicks("Load more")
        ann.sees_tasks(*titles)
        expect(ann.focused).to_have_accessible_name("Task 5")
        expect(ann.page.get_by_role("status")).to_have_text("5 more tasks.")
        expect(ann.page.get_by_role("button", name="Load more")).to_have_count(0)
