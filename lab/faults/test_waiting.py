"""The database is there and lets nobody in: every caller hears so in time, and then all is well."""

import time
from threading import Thread

import pytest

from lab.faults.client import LIVE, TASKS, codes, slowest
from lab.faults.conftest import Figures, on_postgresql
from lab.faults.databases import Database
from lab.faults.hanging_up import FIN, RST, hang_up
from lab.faults.problems import assert_unavailable
from lab.faults.service import RECOVERY, Service

# So that each limit of its own must hold: that of requests would hide that one is missing.
SETTINGS = {"REQUEST_TIMEOUT_SECONDS": "60"}
QUIET = 0.5  # seconds: a queue of requests has short pauses too


def seconds_until_nobody_works_in(database: Database, patience: float = 10) -> float:
    """From now to the moment from which the service holds nothing there."""
    began = free_since = time.monotonic()
    while time.monotonic() < free_since + QUIET:
        time.sleep(0.02)
        if database.busy():
            free_since = time.monotonic()
            assert free_since - began < patience, "somebody is still at work"
    return free_since - began


def test_everybody_hears_of_a_lock_in_time(service: Service, figures: Figures) -> None:
    with service.database.locked():
        answers = service.creating(50)
    recovered = service.seconds_until_all_is_well()

    figures(slowest=slowest(answers), recovered_after=recovered)
    assert_unavailable(answers)
    assert recovered < RECOVERY


def test_reading_goes_on_while_somebody_else_writes(service: Service) -> None:
    with service.database.locked():
        answers = service.listing(20)

    assert codes(answers) == {200}
    assert slowest(answers) < 1


def test_the_service_stays_alive_while_all_wait(service: Service) -> None:
    crowd = Thread(target=service.creating, args=(50,))

    with service.database.locked():
        crowd.start()
        time.sleep(0.5)
        answers = [service.get(LIVE) for _ in range(10)]
        crowd.join()

    assert codes(answers) == {200}
    assert slowest(answers) < 1


@on_postgresql
def test_a_database_without_a_free_connection_is_waited_for_in_vain(
    service: Service, figures: Figures
) -> None:
    with service.database.without_free_connections():
        answers = service.creating(50)
    recovered = service.seconds_until_all_is_well()

    figures(slowest=slowest(answers), recovered_after=recovered)
    assert_unavailable(answers)
    assert recovered < RECOVERY


@on_postgresql
def test_nobody_waits_for_a_database_that_hangs(service: Service, figures: Figures) -> None:
    assert codes(service.creating(20)) == {201}

    with service.database.server.frozen():
        by_old_connections = service.creating(50)
        by_new_ones = service.creating(50)
    recovered = service.seconds_until_all_is_well()

    answers = by_old_connections + by_new_ones
    figures(slowest=slowest(answers), recovered_after=recovered)
    assert_unavailable(answers)
    assert recovered < RECOVERY


def test_a_statement_that_takes_too_long_is_given_up(service: Service, figures: Figures) -> None:
    with service.database.slow_writes():
        answers = service.creating(3)
        alive = service.get(LIVE)
        free_after = seconds_until_nobody_works_in(service.database)
    recovered = service.seconds_until_all_is_well()

    figures(slowest=slowest(answers), free_after=free_after, recovered_after=recovered)
    assert alive.status == 200
    assert_unavailable(answers)
    assert free_after < RECOVERY
    assert recovered < RECOVERY


@pytest.mark.parametrize("way", [FIN, RST], ids=["fin", "rst"])
def test_who_hangs_up_holds_no_connection(service: Service, figures: Figures, way: bytes) -> None:
    with service.database.locked():
        hang_up(service, 200, way)
        time.sleep(0.5)
    free_after = seconds_until_nobody_works_in(service.database)
    recovered = service.seconds_until_all_is_well()

    figures(free_after=free_after, recovered_after=recovered)
    assert free_after < 5
    assert recovered < RECOVERY


def test_who_hangs_up_at_once_disturbs_nobody(service: Service, figures: Figures) -> None:
    with service.client("bob") as bob:
        before = bob.get(TASKS)
        hang_up(service, 100, FIN)
        hang_up(service, 100, RST)
        after = bob.get(TASKS)
    recovered = service.seconds_until_all_is_well()

    figures(next_answer=after.seconds, recovered_after=recovered)
    assert before.status == after.status == 200
    assert after.seconds < 5
    assert recovered < RECOVERY
    assert seconds_until_nobody_works_in(service.database) < 5
