"""POSTs over connections that are cut at random, each repeated until there is a response."""

import os
import random
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from lab.faults.client import NONE, TASKS, Client, Response, codes, open_client
from lab.faults.conftest import Figures, Serve, on_postgresql
from lab.faults.load import lost_and_duplicated
from lab.faults.service import Service
from lab.relay import Cut, Exchange, Fate, Relay, header
from lab.servers import wait_until

SEED = os.environ.get("FAULTS_SEED") or secrets.token_hex(4)
CLIENTS = 20
PATIENCE = 120  # seconds until all tasks are created
PAUSE = 0.05  # seconds: the longest wait before the first repetition, doubled for each further one
SETTINGS = {"WORKERS": "2"}
TITLE = "created once"

Call = Callable[[Client], Response]


def create(client: Client) -> Response:
    return client.call("POST", TASKS, {"title": TITLE}, **{"Idempotency-Key": '"once"'})


def erase(client: Client) -> Response:
    return client.call("DELETE", "/api/v1/me")


class RandomCuts:
    """Cuts half of the requests. The same seed cuts the same requests for the same task."""

    def __init__(self) -> None:
        self._requests: Counter[bytes] = Counter()

    def __call__(self, request: bytes) -> Fate | None:
        body = request.partition(b"\r\n\r\n")[2]
        self._requests[body] += 1
        chance = random.Random(f"{SEED} {body!r} {self._requests[body]}")
        cut = chance.choice([*Cut, *[None] * len(Cut)])
        return cut and Fate(cut, chance.random(), chance.choice([True, False]))


class Clients:
    """Create a user's tasks concurrently. `answers` has the responses for each title, in order."""

    def __init__(self, service: Service, user: str, count: int, *, keys: bool) -> None:
        self.answers: dict[str, list[Response]] = {f"task {n}": [] for n in range(count)}
        self.created = 0
        self.relay = Relay(service.port, RandomCuts())
        self._token = service.token(user)
        self._keys = keys
        self._deadline = time.monotonic() + PATIENCE

    @contextmanager
    def working(self) -> Iterator[None]:
        """Run them during the block, and until all tasks are created."""
        with self.relay.running(), ThreadPoolExecutor(CLIENTS) as pool:
            done = pool.map(self._create, self.answers)
            yield
            list(done)

    def _create(self, title: str) -> None:
        headers = {"Idempotency-Key": f'"{SEED} {title}"'} if self._keys else {}
        with open_client(self.relay.port, self._token) as client:
            while True:
                answer = client.call("POST", TASKS, {"title": title}, **headers)
                self.answers[title].append(answer)
                # http.client also accepts a response that ends within its head.
                if answer.status == 201 and answer.body:
                    self.created += 1
                    return
                assert answer.status in (NONE, 201, 409, 503), answer
                assert time.monotonic() < self._deadline, answer
                time.sleep(random.uniform(0, PAUSE * len(self.answers[title])))

    def figures(self) -> dict[str, object]:
        every = [answer for answers in self.answers.values() for answer in answers]
        codes = Counter(answer.status for answer in every)
        began = min(answer.begun for answer in every)
        return {
            "FAULTS_SEED": SEED,
            "tasks": len(self.answers),
            "cuts": {cut.value: self.relay.cuts[cut] for cut in Cut},
            "while_the_service_was_away": self.relay.failures,
            "repetitions": len(every) - len(self.answers),
            **{f"responses_with_{status}": codes[status] for status in (409, 503)},
            "seconds": max(answer.ended for answer in every) - began,
        }


def responses(exchanges: list[Exchange]) -> dict[bytes, list[tuple[object, ...]]]:
    """Return the service's responses to each key, without temporary errors."""
    found = defaultdict(list)
    for each in exchanges:
        if each.status not in (409, 503):
            headers = (header(each.response, name) for name in ("location", "etag"))
            key = header(each.request, "idempotency-key")
            found[key].append((each.status, *headers, each.body))
    return found


def test_repeated_posts_with_a_key_create_each_task_once(
    service: Service, figures: Figures
) -> None:
    clients = Clients(service, "ann", 1000, keys=True)

    with clients.working():
        wait_until(lambda: clients.created >= 500, PATIENCE, service.printed, every=0.01)
        service.kill()
        service.start()
    lost, doubled = lost_and_duplicated(list(clients.answers), service, "ann")
    repeated = [each for each in responses(clients.relay.exchanges).values() if len(each) > 1]

    figures(**clients.figures(), lost=lost, doubled=doubled)
    assert (lost, doubled) == (0, 0)
    assert len(repeated) > 100
    assert all(len(set(each)) == 1 for each in repeated)
    assert service.database.is_sound()


@on_postgresql
@pytest.mark.parametrize("call", [create, erase])
def test_repeated_request_succeeds_only_once_its_changes_are_replicated(
    serve: Serve, call: Call
) -> None:
    """PostgreSQL ends a canceled wait for a standby with a commit that other sessions can see."""
    service = serve(DATABASE_STATEMENT_TIMEOUT_SECONDS="1")
    with service.client() as client:
        assert client.create().status == 201
        with service.database.server.without_standby():
            wait_until(lambda: client.create().status == 503, PATIENCE, service.printed, every=0)
            early = [call(client) for _ in range(2)]
            shown = client.titles()
        wait_until(lambda: client.create().status == 201, PATIENCE, service.printed, every=0)
        late = call(client)
        titles = client.titles()

    assert codes(early) == {503}, early
    assert late.is_success
    assert shown.count(TITLE) == titles.count(TITLE) == (call is create)


def test_repeated_posts_without_a_key_create_some_tasks_twice(
    service: Service, figures: Figures
) -> None:
    clients = Clients(service, "bob", 100, keys=False)

    with clients.working():
        pass
    lost, doubled = lost_and_duplicated(list(clients.answers), service, "bob")

    figures(**clients.figures(), lost=lost, doubled=doubled)
    assert lost == 0
    assert doubled > 0
