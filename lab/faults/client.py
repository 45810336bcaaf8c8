"""Clients of the service that record responses and times."""

import http.client
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

TASKS = "/api/v1/tasks"
LIVE, READY = "/health/live", "/health/ready"
PATIENCE = 15  # seconds; three times the longest that a response may take
NONE = 0
"""The status if there is no response."""

numbers = count(1)  # for unique names


@dataclass(frozen=True)
class Response:
    call: str
    status: int
    begun: float  # on the monotonic clock
    seconds: float
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: str = ""

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def ended(self) -> float:
        return self.begun + self.seconds

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """A keep-alive connection of one user. It reconnects after errors."""

    def __init__(self, port: int, token: str | None) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def call(self, method: str, path: str, body: Any = None, **more: str) -> Response:
        """Send a request; `more` adds headers."""
        headers, content = self._headers | more, None
        if body is not None:
            headers, content = headers | {"Content-Type": "application/json"}, json.dumps(body)
        call, begun = f"{method} {path}", time.monotonic()
        try:
            self._connection.request(method, path, content, headers)
            response = self._connection.getresponse()
            read = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return Response(call, NONE, begun, time.monotonic() - begun, error=repr(error))
        seconds = time.monotonic() - begun
        got = {name.lower(): value for name, value in response.getheaders()}
        return Response(call, response.status, begun, seconds, got, read)

    def get(self, path: str) -> Response:
        return self.call("GET", path)

    def create(self, **fields: Any) -> Response:
        """Create a task with a unique title."""
        return self.call("POST", TASKS, {"title": f"task {next(numbers)}", **fields})

    def titles(self) -> list[str]:
        """Return the titles of all tasks, page by page."""
        titles: list[str] = []
        cursor = ""
        while True:
            answer = self.get(f"{TASKS}?limit=100{cursor}")
            assert answer.status == 200, answer
            page = answer.json()
            titles += [task["title"] for task in page["items"]]
            if page["next_cursor"] is None:
                return titles
            cursor = f"&cursor={page['next_cursor']}"

    def close(self) -> None:
        self._connection.close()


@contextmanager
def open_client(port: int, token: str | None = None) -> Iterator[Client]:
    client = Client(port, token)
    try:
        yield client
    finally:
        client.close()


def codes(answers: Iterable[Response]) -> set[int]:
    return {answer.status for answer in answers}


def slowest(answers: Iterable[Response]) -> float:
    return max(answer.seconds for answer in answers)
