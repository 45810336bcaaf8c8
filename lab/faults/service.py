"""The service of a rendered project, as its operators run it: `python -m app`."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from lab.faults.client import LIVE, READY, TASKS, Client, Response, open_client
from lab.faults.databases import Database
from lab.faults.issuer import AUDIENCE, URL, Issuer
from lab.faults.processes import children, command
from lab.servers import Server, free_ports, wait_until

RECOVERY = 2.0  # seconds after the end of a fault within which all errors must end


class Service(Server):
    def __init__(
        self,
        project: Path,
        issuer: Issuer,
        database: Database,
        settings: Mapping[str, str],
        *,
        log: Path,
        as_others: bool = False,
        files: int = 0,
    ) -> None:
        """`as_others` makes file modes effective even if root runs the tests.

        `files` is the number of files that each process may have open, as under `ulimit -n`.
        """
        [self.port] = free_ports(1)
        self.database = database
        self.log = log
        self._issuer = issuer
        environment = {
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "DATABASE_URL": database.url,
            "BETTER_AUTH_URL": URL,
            "JWT_AUDIENCE": AUDIENCE,
            "DRAIN_SECONDS": "0",
            # Without bytecode, a start would take several seconds more.
            "PYTHONDONTWRITEBYTECODE": "",
            **issuer.settings,
            **settings,
        }
        root = as_others and os.geteuid() == 0
        without = "setpriv --bounding-set -dac_override,-dac_read_search " if root else ""
        limited = f"prlimit --nofile={files}:{files} " if files else ""
        super().__init__(
            f"{limited}{without}.venv/bin/python -m app",
            project,
            lambda: self.get(READY).status == 200,
            environment=environment,
            log=log,
        )

    def token(self, user: str) -> str:
        return self._issuer.token(user)

    def client(self, user: str | None = "ann") -> AbstractContextManager[Client]:
        return open_client(self.port, user and self.token(user))

    def get(self, path: str) -> Response:
        """Send a request without a token, on a new connection."""
        with self.client(None) as client:
            return client.get(path)

    def wait_until_alive(self) -> None:
        wait_until(lambda: self.get(LIVE).status == 200, 30, self.printed)

    @property
    def pid(self) -> int:
        assert self._process, "not launched"
        return self._process.pid

    def workers(self) -> list[int]:
        """Return its worker processes."""
        return [pid for pid in children(self.pid) if "resource_tracker" not in command(pid)]

    def kill(self) -> None:
        """`kill -9` all its processes at once."""
        process, self._process = self._process, None
        assert process, "not launched"
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def terminate(self) -> None:
        """Send SIGTERM to the first process only, as orchestrators do."""
        os.kill(self.pid, signal.SIGTERM)

    def ended(self, within: float) -> tuple[int | None, float]:
        """Return its exit code, or None if it is still running, and the seconds that it took."""
        assert self._process, "not launched"
        began = time.monotonic()
        while (code := self._process.poll()) is None and time.monotonic() < began + within:
            time.sleep(0.01)
        return code, time.monotonic() - began

    def at_once(self, count: int, act: Callable[[Client], Response]) -> list[Response]:
        """Return the responses to this many concurrent clients."""

        def once(_: int) -> Response:
            with self.client() as client:
                return act(client)

        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(once, range(count)))

    def creating(self, count: int) -> list[Response]:
        return self.at_once(count, Client.create)

    def listing(self, count: int) -> list[Response]:
        return self.at_once(count, lambda client: client.get(TASKS))

    def seconds_until_healthy(self, count: int = 50, patience: float = 15) -> float:
        """Return the seconds until `count` of `count` concurrent writes succeed."""
        began = time.monotonic()
        while True:
            asked = time.monotonic()
            answers = self.creating(count)
            if all(answer.is_success for answer in answers):
                return asked - began
            assert time.monotonic() - began < patience, (answers[0], self.printed())
            time.sleep(0.1)
