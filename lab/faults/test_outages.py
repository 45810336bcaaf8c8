"""PostgreSQL goes away under load and comes back: 503 in between, and nothing else."""

import time

import pytest

from lab.faults.client import LIVE, READY, TASKS, codes, slowest
from lab.faults.conftest import Figures, on_postgresql
from lab.faults.databases import PostgresServer
from lab.faults.load import Load, load, lost_and_doubled
from lab.faults.problems import assert_unavailable
from lab.faults.service import RECOVERY, Service

pytestmark = on_postgresql

AWAY = 3.0  # seconds: longer than the time-outs of one connection or statement


def recovery(people: Load, since: float) -> tuple[float, float]:
    """When the first good answer came, and from when on whoever asked got one."""
    of_tasks = people.of(TASKS)
    first = min(answer.ended for answer in of_tasks if answer.is_good and answer.ended > since)
    last = max((answer.begun for answer in of_tasks if not answer.is_good), default=since)
    return first - since, max(last - since, 0.0)


@pytest.mark.parametrize(
    "outage", [PostgresServer.away, PostgresServer.restarted, PostgresServer.frozen]
)
def test_an_outage_of_the_database_is_503_and_over_with_it(
    service: Service, figures: Figures, outage
) -> None:
    with load(service, probes=True).running() as people:
        people.wait_for(20)
        with outage(service.database.server):
            time.sleep(AWAY)
        since = time.monotonic()
        time.sleep(AWAY)
    lost, doubled = lost_and_doubled(people.acknowledged, service)

    first, always = recovery(people, since)
    tasks, ready, live = people.of(TASKS), people.of(READY), people.of(LIVE)
    figures(
        codes=dict(people.codes(TASKS)),
        slowest=slowest(tasks),
        first_good_after=first,
        always_good_after=always,
        lost=lost,
        ready=dict(people.codes(READY)),
        live=dict(people.codes(LIVE)),
    )
    assert codes(tasks) <= {200, 201, 503}
    assert_unavailable(answer for answer in tasks + ready if not answer.is_good)
    assert codes(live) == {200}
    assert outage is PostgresServer.restarted or 503 in codes(ready)
    assert slowest(live) < 1
    assert first < RECOVERY
    assert always < RECOVERY
    assert service.get(READY).status == 200
    assert (lost, doubled) == (0, 0)
