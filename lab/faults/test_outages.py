"""An outage of PostgreSQL under load: 503 until it ends, and no other errors."""

import time

import pytest

from lab.faults.client import LIVE, READY, TASKS, codes, slowest
from lab.faults.conftest import Figures, on_postgresql
from lab.faults.databases import PostgresServer
from lab.faults.load import Load, load, lost_and_duplicated
from lab.faults.problems import assert_unavailable
from lab.faults.service import RECOVERY, Service

pytestmark = on_postgresql

AWAY = 3.0  # seconds: longer than the timeouts of a connection or statement


def recovery(clients: Load, since: float) -> tuple[float, float]:
    """Return when the first request succeeded, and since when all requests have."""
    of_tasks = clients.of(TASKS)
    first = min(answer.ended for answer in of_tasks if answer.is_success and answer.ended > since)
    last = max((answer.begun for answer in of_tasks if not answer.is_success), default=since)
    return first - since, max(last - since, 0.0)


@pytest.mark.parametrize(
    "outage", [PostgresServer.away, PostgresServer.restarted, PostgresServer.frozen]
)
def test_database_outage_returns_503_until_it_ends(
    service: Service, figures: Figures, outage
) -> None:
    with load(service, probes=True).running() as clients:
        clients.wait_for(20)
        with outage(service.database.server):
            time.sleep(AWAY)
        since = time.monotonic()
        time.sleep(AWAY)
    lost, doubled = lost_and_duplicated(clients.acknowledged, service)

    first, always = recovery(clients, since)
    tasks, ready, live = clients.of(TASKS), clients.of(READY), clients.of(LIVE)
    figures(
        codes=dict(clients.codes(TASKS)),
        slowest=slowest(tasks),
        first_good_after=first,
        always_good_after=always,
        lost=lost,
        ready=dict(clients.codes(READY)),
        live=dict(clients.codes(LIVE)),
    )
    assert codes(tasks) <= {200, 201, 503}
    assert_unavailable(answer for answer in tasks + ready if not answer.is_success)
    assert codes(live) == {200}
    assert outage is PostgresServer.restarted or 503 in codes(ready)
    assert slowest(live) < 1
    assert first < RECOVERY
    assert always < RECOVERY
    assert service.get(READY).status == 200
    assert (lost, doubled) == (0, 0)
