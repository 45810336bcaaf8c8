"""A database that is reachable but does not respond: requests fail in time, and recover."""

import time
from threading import Thread

import pytest

from lab.faults.client import LIVE, TASKS, codes, slowest
from lab.faults.conftest import Figures, on_postgresql
from lab.faults.databases import Database
from lab.faults.disconnect import FIN, RST, hang_up
from lab.faults.problems import assert_unavailable
from lab.faults.service import RECOVERY, Service

# A long request timeout, so that each of the other limits is tested on its own.
SETTINGS = {"REQUEST_TIMEOUT_SECONDS": "60"}
QUIET = 0.5  # seconds; a queue of requests has short pauses, too


def seconds_until_nobody_works_in(database: Database, patience: float = 10) -> float:
    """Return the seconds until the service holds no connection in a transaction."""
    began = free_since = time.monotonic()
    while time.monotonic() < free_since + QUIET:
        time.sleep(0.02)
        if database.busy():
            free_since = time.monotonic()
            assert free_since - began < patience, "somebody is still at work"
    return free_since - began


def test_locked_database_returns_503_within_the_deadline(
    service: Service, figures: Figures
) -> None:
    with service.database.locked():
        answers = service.creating(50)
    recovered = service.seconds_until_healthy()

    figures(slowest=slowest(answers), recovered_after=recovered)
    assert_unavailable(answers)
    assert recovered < RECOVERY


def test_reads_succeed_during_a_write(service: Service) -> None:
    with service.database.locked():
        answers = service.listing(20)

    assert codes(answers) == {200}
    assert slowest(answers) < 1


def test_liveness_succeeds_while_all_requests_wait(service: Service) -> None:
    crowd = Thread(target=service.creating, args=(50,))

    with service.database.locked():
        crowd.start()
        time.sleep(0.5)
        answers = [service.get(LIVE) for _ in range(10)]
        crowd.join()

    assert codes(answers) == {200}
    assert slowest(answers) < 1


@on_postgresql
def test_exhausted_database_connections_return_503(service: Service, figures: Figures) -> None:
    with service.database.without_free_connections():
        answers = service.creating(50)
    recovered = service.seconds_until_healthy()

    figures(slowest=slowest(answers), recovered_after=recovered)
    assert_unavailable(answers)
    assert recovered < RECOVERY


@on_postgresql
def test_hanging_database_returns_503_within_the_deadline(
    service: Service, figures: Figures
) -> None:
    assert codes(service.creating(20)) == {201}

    with service.database.server.frozen():
        by_old_connections = service.creating(50)
        by_new_ones = service.creating(50)
    recovered = service.seconds_until_healthy()

    answers = by_old_connections + by_new_ones
    figures(slowest=slowest(answers), recovered_after=recovered)
    assert_unavailable(answers)
    assert recovered < RECOVERY


def test_statement_beyond_the_deadline_is_canceled(service: Service, figures: Figures) -> None:
    with service.database.slow_writes():
        answers = service.creating(3)
        alive = service.get(LIVE)
        free_after = seconds_until_nobody_works_in(service.database)
    recovered = service.seconds_until_healthy()

    figures(slowest=slowest(answers), free_after=free_after, recovered_after=recovered)
    assert alive.status == 200
    assert_unavailable(answers)
    assert free_after < RECOVERY
    assert recovered < RECOVERY


@pytest.mark.parametrize("way", [FIN, RST], ids=["fin", "rst"])
def test_disconnected_client_holds_no_connection(
    service: Service, figures: Figures, way: bytes
) -> None:
    with service.database.locked():
        hang_up(service, 200, way)
        time.sleep(0.5)
    free_after = seconds_until_nobody_works_in(service.database)
    recovered = service.seconds_until_healthy()

    figures(free_after=free_after, recovered_after=recovered)
    assert free_after < 5
    assert recovered < RECOVERY


def test_immediate_disconnects_do_not_affect_others(service: Service, figures: Figures) -> None:
    with service.client("bob") as bob:
        before = bob.get(TASKS)
        hang_up(service, 100, FIN)
        hang_up(service, 100, RST)
        after = bob.get(TASKS)
    recovered = service.seconds_until_healthy()

    figures(next_answer=after.seconds, recovered_after=recovered)
    assert before.status == after.status == 200
    assert after.seconds < 5
    assert recovered < RECOVERY
    assert seconds_until_nobody_works_in(service.database) < 5
