"""Servers for tests. Each runs in its own process group, which is stopped as a whole."""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from itertools import cycle, islice
from pathlib import Path

import httpx2

from tests.rendering import clean_environment

START = 120  # seconds; the first start of a machine installs what is missing
STOP = 30


def free_ports(count: int, first: int = 9000) -> list[int]:
    """Return free ports from the thousand that begin with `first`.

    Systems do not give these ports to clients, so a server can return to its port.
    """
    found: list[int] = []
    for port in islice(_own_ports(first), 1000):
        with suppress(OSError), socket.create_server(("", port)):
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"too few ports from {first} to {first + 999} are free")


@cache
def _own_ports(first: int) -> Iterator[int]:
    """Return ports that no other process of this test run uses, each as rarely as possible.

    A port that is free may be one whose server is just starting, or away for the moment.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    ports = range(first + worker, first + 1000, workers)
    return cycle(random.sample(ports, len(ports)))


def wait_until(
    holds: Callable[[], bool], seconds: float, why_not: Callable[[], str], *, every: float = 0.1
) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, why_not()
        time.sleep(every)


def answers(url: str) -> bool:
    with suppress(httpx2.HTTPError):
        return httpx2.get(url, timeout=START, trust_env=False).is_success
    return False


class Server:
    """A command that serves until it is stopped."""

    def __init__(
        self,
        command: str,
        folder: Path,
        is_ready: Callable[[], bool],
        *,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
        user: str | None = None,
    ) -> None:
        """`environment` extends a clean one; `user` runs the server instead of the current user."""
        self._command = command
        self._folder = folder
        self._is_ready = is_ready
        self._environment = dict(environment or {})
        self._log = log or folder.parent / f"{Path(command.split()[0]).name}.log"
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process, "not launched"
        return self._process.pid

    def launch(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command.split(),
                cwd=self._folder,
                env=clean_environment() | self._environment,
                user=self._user,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until it is ready. Raise AssertionError with its output if it never is."""

        def is_ready() -> bool:
            assert self._process, "not launched"
            assert self._process.poll() is None, self.printed()
            return self._is_ready()

        wait_until(is_ready, START, self.printed)

    def start(self) -> None:
        self.launch()
        self.wait()

    def stop(self) -> None:
        """Stop the whole process group. Does nothing if it is stopped already."""
        process, self._process = self._process, None
        if process is None:
            return

        def is_gone() -> bool:
            process.poll()  # Otherwise it stays in its group, as a zombie.
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                return True
            return False

        try:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            wait_until(is_gone, STOP, lambda: f"does not end: {self._command}\n{self.printed()}")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def printed(self) -> str:
        return f"{self._command}\n{self._log.read_text(errors='replace')[-5000:]}"
