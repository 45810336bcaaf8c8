"""SIGTERM: requests in flight complete, readiness fails, and then the service stops."""

import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import pytest

from lab.faults.client import LIVE, NONE, READY, Response, codes
from lab.faults.conftest import Figures, Serve, on_postgresql, on_sqlite
from lab.faults.databases import Database, PostgresDatabase
from lab.faults.disconnect import request
from lab.faults.load import load
from lab.faults.problems import assert_unavailable
from lab.faults.processes import frozen, send
from lab.faults.service import Service

SETTLED = (
    0.75  # seconds until readiness must fail after the signal, which uvicorn checks twice a second
)
DRAIN, SHUTDOWN = 0.5, 1
REQUEST_TIMEOUT, CLOSE_TIMEOUT = 4.5, 2.0  # settings of the service
LEEWAY = 3.0

with_workers = pytest.mark.parametrize("workers", [1, 3])


def asked_until_refused(service: Service, seconds: float = 5) -> list[Response]:
    """Return readiness responses, each on a new connection, until connections are refused."""
    answers = [service.get(READY)]
    deadline = time.monotonic() + seconds
    while answers[-1].status != NONE and time.monotonic() < deadline:
        time.sleep(0.05)
        answers.append(service.get(READY))
    return answers


@with_workers
def test_shutdown_completes_requests_in_progress(
    serve: Serve, database: Database, figures: Figures, workers: int
) -> None:
    patient = {"DATABASE_STATEMENT_TIMEOUT_SECONDS": "4"}
    service = serve(WORKERS=str(workers), DRAIN_SECONDS=str(DRAIN), **patient)

    with ThreadPoolExecutor() as pool:
        with database.locked():
            crowd = pool.submit(service.creating, 5)  # leaves pool connections for readiness checks
            time.sleep(0.3)
            service.terminate()
            since = time.monotonic()
            probe = pool.submit(asked_until_refused, service)
            time.sleep(DRAIN + SETTLED)
        code, ended_after = service.ended(within=DRAIN + LEEWAY)

    ready = [answer.begun - since for answer in probe.result() if answer.status == 200]
    figures(exit_code=code, ended_after=ended_after, ready_until=max(ready, default=0.0))
    assert [answer.status for answer in crowd.result()] == [201] * 5
    assert code == 0
    assert max(ready, default=0.0) < SETTLED
    assert 503 in codes(probe.result())


def test_service_accepts_requests_while_draining(serve: Serve, figures: Figures) -> None:
    """Wait until readiness has failed."""
    service = serve(DRAIN_SECONDS=str(DRAIN))

    service.terminate()
    time.sleep(DRAIN / 2)
    answers = service.creating(5)
    code, ended_after = service.ended(within=DRAIN + LEEWAY)

    figures(exit_code=code, ended_after=ended_after)
    assert [answer.status for answer in answers] == [201] * 5
    assert code == 0


@with_workers
def test_slow_clients_cannot_delay_shutdown(serve: Serve, figures: Figures, workers: int) -> None:
    service = serve(WORKERS=str(workers), SHUTDOWN_SECONDS=str(SHUTDOWN))
    body = request(service.token("ann"), b'{"title": ', length=100)
    head = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    odd = head.replace(b"GET", b"BREW")  # parsed by h11, like everything after it

    with ExitStack() as clients:
        assert clients.enter_context(service.client()).get(LIVE).status == 200
        for sent in (b"", head[:-8], head + head[:-8], body, odd, odd + head[:-8], odd + body):
            client = socket.create_connection(("127.0.0.1", service.port))
            clients.enter_context(client).sendall(sent)
        time.sleep(0.3)
        service.terminate()
        code, ended_after = service.ended(within=SHUTDOWN + LEEWAY)

    figures(exit_code=code, ended_after=ended_after)
    assert code == 0


@on_postgresql
def test_hanging_database_does_not_delay_shutdown(
    serve: Serve, database: PostgresDatabase, figures: Figures
) -> None:
    service = serve()
    assert codes(service.creating(10)) == {201}  # opens connections, which are idle now

    with ThreadPoolExecutor() as pool, database.server.frozen():
        crowd = pool.submit(service.creating, 3)
        time.sleep(0.3)
        service.terminate()
        code, ended_after = service.ended(within=REQUEST_TIMEOUT + CLOSE_TIMEOUT + LEEWAY)

    figures(exit_code=code, ended_after=ended_after)
    assert_unavailable(crowd.result())
    assert code == 0


def test_unfinished_body_does_not_delay_shutdown(service: Service, figures: Figures) -> None:
    received = b""

    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as client:
        client.sendall(request(service.token("ann"), b'{"title": ', length=100))
        since = time.monotonic()
        with suppress(TimeoutError, ConnectionResetError):
            received = client.recv(65536)
        seconds = time.monotonic() - since

    figures(answer=received.partition(b"\r\n")[0].decode() or "closed", after=seconds)
    assert seconds < REQUEST_TIMEOUT + 0.5
    assert received.split(b" ")[1:2] in ([], [b"503"])


@on_sqlite
def test_killed_worker_is_replaced(serve: Serve, figures: Figures) -> None:
    service = serve(WORKERS="3")
    victim, *others = service.workers()
    assert len(others) == 2

    with load(service, writers=2, readers=2).running() as clients:
        clients.wait_for(5)
        send([victim], signal.SIGKILL)
        since = time.monotonic()
        while set(service.workers()) <= {victim, *others}:
            assert time.monotonic() < since + 5, service.printed()
            time.sleep(0.02)
        with frozen(others):  # so that only the new one can respond
            answer = service.get(READY)
        replaced_after = time.monotonic() - since
        clients.wait_for(20)

    figures(replaced_after=replaced_after, codes=dict(clients.codes()))
    assert answer.status == 200
    assert replaced_after < 10
    assert [pid in service.workers() for pid in (victim, *others)] == [False, True, True]
    # Only the request that it was processing got no response.
    assert clients.codes()[NONE] <= 4
    assert clients.codes().keys() <= {200, 201, 503, NONE}
