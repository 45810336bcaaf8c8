"""Several processes share rate limits in Redis, and keep serving without it."""

import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lab.faults.client import TASKS
from lab.faults.conftest import Serve, on_sqlite
from lab.faults.service import Service
from lab.servers import Server, free_ports
from tests.rendering import cannot_run


class Redis(Server):
    def __init__(self, folder: Path) -> None:
        [self.port] = free_ports(1)
        command = f"redis-server --port {self.port} --bind 127.0.0.1 --appendonly no"
        super().__init__(command, folder, self._answers, log=folder / "redis.log")

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(7) == b"+PONG\r\n"
        return False

    def signal(self, number: signal.Signals) -> None:
        assert self._process, "not launched"
        os.killpg(self._process.pid, number)


@pytest.fixture
def redis(shared_folder: Path) -> Iterator[Redis]:
    if not shutil.which("redis-server"):
        cannot_run("Redis is missing (apt-get install redis-server)")
    redis = Redis(shared_folder)
    redis.start()
    yield redis
    redis.stop()


def statuses(service: Service, count: int, user: str = "ann") -> list[int]:
    """Return the statuses of requests on separate connections, so that all processes get some."""
    found = []
    for _ in range(count):
        with service.client(user) as client:
            found.append(client.get(TASKS).status)
    return found


@on_sqlite
def test_processes_share_rate_limits_and_serve_without_redis(serve: Serve, redis: Redis) -> None:
    url = f"redis://127.0.0.1:{redis.port}"
    limited = {"RATE_LIMIT": "10/hour", "RATE_LIMIT_STORAGE_URL": url}
    one, other = serve(**limited), serve(**limited)

    together = sorted(statuses(one, 10) + statuses(other, 10))
    somebody_else = statuses(one, 1, "bob")
    redis.signal(signal.SIGSTOP)
    began = time.monotonic()
    frozen = statuses(one, 10)
    seconds = time.monotonic() - began
    redis.signal(signal.SIGCONT)
    redis.stop()
    away = statuses(other, 10)

    assert together == [200] * 10 + [429] * 10
    assert somebody_else == [200]
    assert frozen == away == [200] * 10
    assert seconds < 2, "each call waited for it"
