"""Clients that use the service continuously during a fault."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Self

from lab.faults.client import LIVE, READY, TASKS, Client, Response
from lab.faults.service import Service

PAUSE = 0.02  # seconds between two requests of a client, since the machine runs other tests, too


class Load:
    """`answers` has all responses, in the order in which they were received."""

    def __init__(self) -> None:
        self.answers: list[Response] = []
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()

    def add(
        self,
        open_client: AbstractContextManager[Client],
        act: Callable[[Client], Response],
        pause: float = PAUSE,
    ) -> None:
        def go_on() -> None:
            with open_client as client:
                while not self._over.is_set():
                    self.answers.append(act(client))
                    self._over.wait(pause)

        self._threads.append(threading.Thread(target=go_on))

    @contextmanager
    def running(self) -> Iterator[Self]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()

    def wait_for(self, count: int, seconds: float = 20) -> None:
        """Wait until this many more tasks are acknowledged."""
        enough, deadline = self.codes()[201] + count, time.monotonic() + seconds
        while self.codes()[201] < enough:
            assert time.monotonic() < deadline, self.answers[-3:]
            time.sleep(0.01)

    @property
    def acknowledged(self) -> list[str]:
        """Return the titles of the acknowledged tasks."""
        return [answer.json()["title"] for answer in self.answers if answer.status == 201]

    def of(self, path: str) -> list[Response]:
        return [answer for answer in self.answers if answer.call.split(" ", 1)[1].startswith(path)]

    def codes(self, path: str = "/") -> Counter[int]:
        return Counter(answer.status for answer in self.of(path))


def load(service: Service, *, writers: int = 4, readers: int = 2, probes: bool = False) -> Load:
    """Ann writes and reads; with `probes`, an orchestrator sends health checks."""
    load = Load()
    for _ in range(writers):
        load.add(service.client(), Client.create)
    for _ in range(readers):
        load.add(service.client(), lambda client: client.get(f"{TASKS}?limit=5"))
    for path in (LIVE, READY) if probes else ():
        load.add(service.client(None), lambda client, path=path: client.get(path), pause=0.05)
    return load


def lost_and_duplicated(
    acknowledged: list[str], service: Service, user: str = "ann"
) -> tuple[int, int]:
    """Return how many acknowledged tasks are missing, and how many exist twice."""
    with service.client(user) as client:
        stored = Counter(client.titles())
    lost = sum(title not in stored for title in acknowledged)
    return lost, sum(times > 1 for times in stored.values())
