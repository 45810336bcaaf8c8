"""What a user sees when responses of the service are lost, and that no task is created twice."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect
from relay import Cut, Fate, Relay, header

from e2e.people import Person
from e2e.stack import COMBINATIONS, Stack
from e2e.visitor import CHROMIUM_FLAGS, Visitor, visiting

pytestmark = pytest.mark.parametrize(
    "stack", COMBINATIONS[:2], indirect=True, ids="-".join, scope="session"
)

LOST = "ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET"
"""What browsers print to the console, which fails a test unless it expects it."""

Visit = Callable[[Person], AbstractContextManager[Visitor]]


class Connection(Relay):
    """Between browser and API. The service executes requests whose response is lost."""

    def __init__(self, stack: Stack) -> None:
        self.api = urlsplit(stack.api_url)
        super().__init__(self.api.port, self._decide)
        self._method = b""
        self._losses = 0.0

    def loses(self, method: str, count: float = float("inf")) -> None:
        """Lose the next responses to a method, so many of them."""
        self._method, self._losses = method.encode(), count

    def _decide(self, request: bytes) -> Fate | None:
        if not self._losses or request.split(b" ", 1)[0] != self._method:
            return None
        self._losses -= 1
        return Fate(Cut.BEFORE_RESPONSE)

    def keys(self) -> list[bytes]:
        """Return the keys of all POSTs, each once."""
        posts = (each.request for each in self.exchanges if each.request.startswith(b"POST"))
        return list(dict.fromkeys(header(post, "idempotency-key") for post in posts))


@pytest.fixture(scope="module")
def relay(stack: Stack) -> Iterator[Connection]:
    with Connection(stack).running() as relay:
        yield relay


@pytest.fixture(scope="module")
def chromium_flags(relay: Connection) -> tuple[str, ...]:
    rule = f"MAP {relay.api.netloc} 127.0.0.1:{relay.port}"
    return *CHROMIUM_FLAGS, f"--host-resolver-rules={rule}"


@pytest.fixture
def visit(browser: Browser, stack: Stack, axe: str) -> Visit:
    return partial(visiting, browser, stack, axe)


@pytest.fixture
def connection(relay: Connection) -> Connection:
    relay.exchanges.clear()
    relay.loses("", 0)
    return relay


def test_lost_response_is_requested_again_unnoticed(
    stack: Stack, visit: Visit, connection: Connection
) -> None:
    person = stack.sign_up("Ann")
    with visit(person) as ann:
        ann.open("/")
        ann.sees("All clear")
        connection.loses("POST", 2)
        ann.types("Water the tomatoes")
        ann.sees("Adding…")
        expect(ann.task("Water the tomatoes")).to_have_count(1)
        expect(ann.new_task).to_have_value("")
        ann.expected(LOST)

    print([e.request for e in connection.exchanges])
    assert person.titles() == ["Water the tomatoes"]
    assert len(connection.keys()) == 1


def test_pressing_add_again_after_an_error_creates_no_second_task(
    stack: Stack, visit: Visit, connection: Connection
) -> None:
    person = stack.sign_up("Ann")
    with visit(person) as ann:
        ann.open("/")
        ann.sees("All clear")
        connection.loses("POST")
        ann.types("Water the tomatoes")
        ann.sees("The task service cannot be reached.")
        expect(ann.new_task).to_have_value("Water the tomatoes")
        ann.finds_no_barrier()
        connection.loses("", 0)
        ann.clicks("Add")
        expect(ann.task("Water the tomatoes")).to_have_count(1)
        expect(ann.page.get_by_text("The task service cannot be reached.")).to_have_count(0)
        ann.adds("Water the roses")
        ann.expected(LOST)

    print([e.request for e in connection.exchanges])
    assert person.titles() == ["Water the roses", "Water the tomatoes"]
    assert len(connection.keys()) == 2
