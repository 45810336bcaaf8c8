"""Lost responses of the service: what the user sees, and that no task is created twice."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from lab.e2e.browser_user import CHROMIUM_FLAGS, BrowserUser, browsing
from lab.e2e.stack import COMBINATIONS, Stack
from lab.e2e.users import User
from lab.relay import Cut, Fate, Relay, header

pytestmark = pytest.mark.parametrize(
    "stack", COMBINATIONS[:2], indirect=True, ids="-".join, scope="session"
)

LOST = "ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET|409"
SUBMIT_TWICE = "input => { input.form.requestSubmit(); input.form.requestSubmit() }"

Browse = Callable[[User], AbstractContextManager[BrowserUser]]


class Connection(Relay):
    """A relay between browser and API. It loses all responses to the method `lost`, if that is set.

    If a response is lost on a reused connection, Chromium itself repeats the request, even a POST.
    The page gets an error only if the repetitions fail, too.
    """

    def __init__(self, stack: Stack) -> None:
        self.api = urlsplit(stack.api_url)
        self.lost = ""
        super().__init__(self.api.port, self._decide)

    def _decide(self, request: bytes) -> Fate | None:
        lost = self.lost and request.startswith(self.lost.encode())
        return Fate(Cut.BEFORE_RESPONSE) if lost else None

    def keys(self) -> Counter[bytes]:
        """Return how many POSTs with each key the service has responded to."""
        posts = (each.request for each in self.exchanges if each.request.startswith(b"POST"))
        return Counter(header(post, "idempotency-key") for post in posts)


@pytest.fixture(scope="module")
def relay(stack: Stack) -> Iterator[Connection]:
    with Connection(stack).running() as relay:
        yield relay


@pytest.fixture(scope="module")
def chromium_flags(relay: Connection) -> tuple[str, ...]:
    rule = f"MAP {relay.api.netloc} 127.0.0.1:{relay.port}"
    return *CHROMIUM_FLAGS, f"--host-resolver-rules={rule}"


@pytest.fixture
def browse(browser: Browser, stack: Stack, axe: str) -> Browse:
    return partial(browsing, browser, stack, axe)


@pytest.fixture
def connection(relay: Connection) -> Connection:
    relay.exchanges.clear()
    relay.lost = ""
    return relay


@pytest.fixture
def user(stack: Stack) -> User:
    return stack.sign_up("Ann")


@contextmanager
def losing(method: str, connection: Connection, browser_user: BrowserUser) -> Iterator[None]:
    """Lose responses until the block has ended and the page has got an error."""
    with browser_user.page.expect_event("requestfailed", lambda request: request.method == method):
        connection.lost = method
        yield
    connection.lost = ""


def adds_a_second_task(browser_user: BrowserUser) -> None:
    """Check that another title creates another task, and that there are two, in the API as well."""
    browser_user.add_task("Water the roses")
    browser_user.page.reload()
    expect(browser_user.page.get_by_role("checkbox")).to_have_count(2)


def test_request_with_a_lost_response_is_repeated_without_an_error(
    user: User, browse: Browse, connection: Connection
) -> None:
    with browse(user) as ann:
        ann.open("/")
        ann.expect_text("All clear")
        with losing("POST", connection, ann):
            ann.submit_task("Water the tomatoes")
        ann.expect_text("Adding…")
        expect(ann.page.get_by_role("alert").filter(has_text="service")).to_have_count(0)
        expect(ann.task("Water the tomatoes")).to_have_count(1)
        expect(ann.new_task).to_have_value("")
        ann.expect_console_error(LOST)

    assert user.titles() == ["Water the tomatoes"]
    [requests] = connection.keys().values()
    assert requests > 1


def test_pressing_add_again_after_an_error_creates_no_second_task(
    user: User, browse: Browse, connection: Connection
) -> None:
    with browse(user) as ann:
        ann.open("/")
        ann.expect_text("All clear")
        connection.lost = "POST"
        ann.submit_task("Water the tomatoes")
        ann.expect_text("The task service cannot be reached.")
        expect(ann.new_task).to_have_value("Water the tomatoes")
        ann.check_accessibility()
        connection.lost = ""
        ann.click("Add")
        expect(ann.task("Water the tomatoes")).to_have_count(1)
        adds_a_second_task(ann)
        ann.expect_console_error(LOST)

    assert user.titles() == ["Water the roses", "Water the tomatoes"]
    assert len(connection.keys()) == 2


def test_form_submitted_twice_at_once_creates_one_task(
    user: User, browse: Browse, connection: Connection
) -> None:
    with browse(user) as ann:
        ann.open("/")
        ann.expect_text("All clear")
        ann.new_task.fill("Water the tomatoes")
        ann.new_task.evaluate(SUBMIT_TWICE)
        expect(ann.new_task).to_have_value("")
        expect(ann.page.get_by_role("button", name="Add", exact=True)).to_be_visible()
        adds_a_second_task(ann)
        # The second request gets a 409 only if the first one is still being processed.
        ann.console_errors = [text for text in ann.console_errors if "409" not in text]

    assert user.titles() == ["Water the roses", "Water the tomatoes"]


def test_undo_pressed_twice_with_a_lost_response_restores_one_task(
    user: User, browse: Browse, connection: Connection
) -> None:
    user.add("Water the tomatoes")
    with browse(user) as ann:
        ann.open("/")
        ann.click("Delete Water the tomatoes")
        with losing("POST", connection, ann):
            ann.page.get_by_role("button", name="Undo").dblclick()
        expect(ann.task("Water the tomatoes")).to_have_count(1)
        expect(ann.page.get_by_role("button", name="Undo")).to_have_count(0)
        adds_a_second_task(ann)
        ann.expect_console_error(LOST)

    assert user.titles() == ["Water the roses", "Water the tomatoes"]


def test_own_change_with_a_lost_response_is_not_reported_as_made_elsewhere(
    user: User, browse: Browse, connection: Connection
) -> None:
    user.add("Water the tomatoes")
    with browse(user) as ann:
        ann.open("/")
        with losing("PATCH", connection, ann):
            ann.task("Water the tomatoes").click()
        ann.expect_text("The task service cannot be reached.")
        ann.toggle("Water the tomatoes")
        expect(ann.page.get_by_role("listitem")).to_have_attribute("aria-busy", "false")
        expect(ann.page.get_by_text("cannot be reached")).to_have_count(0)
        expect(ann.page.get_by_role("alert").filter(has_text="elsewhere")).to_have_count(0)
        expect(ann.task("Water the tomatoes")).to_be_checked()
        ann.expect_console_error(f"{LOST}|412")
