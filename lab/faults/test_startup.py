"""Startup: without a database, and of several processes at once. Tables are created once."""

import time

from lab.faults.client import READY, codes
from lab.faults.conftest import Figures, Serve
from lab.faults.databases import Database
from lab.faults.problems import assert_unavailable
from lab.faults.processes import children, command

PROCESSES = 4


def test_service_started_without_a_database_recovers_when_it_starts(
    serve: Serve, database: Database, figures: Figures
) -> None:
    with database.away():
        service = serve(ready=False)
        service.wait_until_alive()
        refused = [service.get(READY), *service.creating(5)]
    since = time.monotonic()
    service.wait()
    ready_after = time.monotonic() - since
    created = service.creating(5)

    figures(ready_after=ready_after, created=codes(created))
    assert_unavailable(refused)
    assert codes(created) == {201}
    assert ready_after < 5


def test_service_waiting_for_its_database_stops_on_sigterm(
    serve: Serve, database: Database
) -> None:
    with database.away():
        service = serve(ready=False)
        service.wait_until_alive()
        waiting = children(service.pid)
        service.terminate()
        code, _ = service.ended(within=3)

    assert code == 0
    assert waiting, "nobody makes the tables later"
    assert not any(map(command, waiting))


def test_concurrently_started_processes_create_tables_once(
    serve: Serve, database: Database, figures: Figures
) -> None:
    since = time.monotonic()
    services = [serve(ready=False) for _ in range(PROCESSES)]
    for service in services:
        service.wait()
    ready_after = time.monotonic() - since
    created = [answer for service in services for answer in service.creating(2)]

    figures(ready_after=ready_after, revisions=database.revisions())
    assert codes(created) == {201}
    assert database.revisions() == 1
    with services[0].client() as client:
        assert len(client.titles()) == len(created)


def test_concurrently_started_workers_create_tables_once(serve: Serve, database: Database) -> None:
    service = serve(WORKERS=str(PROCESSES))

    assert codes(service.creating(20)) == {201}
    assert database.revisions() == 1
