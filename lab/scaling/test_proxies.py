"""The service behind nginx and behind HAProxy, with the configurations of deploying.md."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from lab.faults.client import LIVE, TASKS, Response, open_client
from lab.faults.conftest import Figures
from lab.faults.databases import PostgresServer
from lab.faults.issuer import KeySet
from lab.faults.service import Service
from lab.scaling.machines import CUT, Proxy
from lab.servers import wait_until
from tests.rendering import RenderedProject

HEAD = f"POST {TASKS} HTTP/1.1\r\nHost: x\r\n".encode()
STALLED = HEAD + b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"


@pytest.fixture(scope="module")
def service(
    shared_folder: Path, project: RenderedProject, issuer: KeySet, postgres: PostgresServer
) -> Iterator[Service]:
    with postgres.database() as database:
        log = shared_folder / "service-behind-proxies.log"
        service = Service(project.path, issuer, database, {}, log=log)
        try:
            service.start()
            yield service
        finally:
            service.stop()


@pytest.fixture(scope="module", params=["nginx", "haproxy"])
def proxy(
    shared_folder: Path, service: Service, project: RenderedProject, request: pytest.FixtureRequest
) -> Iterator[Proxy]:
    folder = shared_folder / f"public-{request.param}"
    folder.mkdir()
    proxy = Proxy(folder, project.path / "docs/deploying.md", request.param, service.port)
    try:
        proxy.start()
        yield proxy
    finally:
        proxy.stop()


def connections_to(port: int) -> int:
    """The number of connections to this port in the last minute, including open ones."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[2].endswith(f":{port:04X}") for line in lines)


def seconds_until_closed(port: int, start: bytes, more: bytes = b"") -> float:
    """Send `more` byte by byte."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), 0.2) as client, suppress(ConnectionError):
        client.sendall(start)
        while time.monotonic() < began + 10 * CUT:
            client.sendall(more)
            with suppress(TimeoutError):
                if not client.recv(65536):
                    break
    return time.monotonic() - began


def test_proxy_disconnects_slow_clients_and_no_others(
    service: Service, proxy: Proxy, figures: Figures
) -> None:
    token = service.token("ann")

    answers: list[Response] = []

    def create(_: int) -> None:
        with open_client(proxy.port, token) as client:
            answers.extend(client.create() for _ in range(50))

    before = connections_to(service.port)
    with ThreadPoolExecutor() as pool:
        slow = [
            pool.submit(seconds_until_closed, proxy.port, *sent)
            for sent in ((b"",), (HEAD, b"x"), (STALLED,))
        ]
        list(pool.map(create, range(4)))
        seconds = [each.result() for each in slow]

    used = connections_to(service.port) - before
    figures(
        created=[answer.status for answer in answers].count(201),
        connections=used,
        cut_after=[f"{each:.1f} s" for each in seconds],
    )
    assert {answer.status for answer in answers} == {201}
    assert used < 50  # of 200 requests: the proxy keeps its connections
    assert max(seconds) < CUT + 2
    assert "connections closed" not in service.log.read_text()


def test_request_id_and_413_pass_the_proxy(service: Service, proxy: Proxy) -> None:
    with open_client(proxy.port, service.token("ann")) as client:
        created = client.create()
        for size in (70_000, 900_000):
            large = client.call("POST", TASKS, {"title": "x", "description": "x" * size})
            assert large.status == 413
            assert large.headers["content-type"] == "application/problem+json"
            assert large.json()["request_id"] == large.headers["x-request-id"]

    assert f'"request_id":"{created.headers["x-request-id"]}"' in service.log.read_text()


def test_proxy_limits_the_connections_of_an_address(proxy: Proxy) -> None:
    with ExitStack() as stack:

        def stall(connections: int) -> None:
            for _ in range(connections):
                with suppress(ConnectionError):  # The proxy resets those above the limit.
                    client = socket.create_connection(("127.0.0.1", proxy.port), 5)
                    stack.enter_context(client).sendall(STALLED)

        stall(90)
        assert status(proxy) == 200
        # The limit is 100, but HAProxy counts one connection less in about half of the runs.
        stall(15)
        wait_until(lambda: status(proxy) in (0, 429), 5, lambda: "105 connections are not refused")

    assert status(proxy) == 200


def status(proxy: Proxy) -> int:
    with open_client(proxy.port) as client:
        return client.get(LIVE).status
