"""`kill -9` in the middle of writes: what was acknowledged is there, once."""

import random
import time

from lab.faults.conftest import FULL, Figures, Serve, on_postgresql
from lab.faults.load import load, lost_and_doubled
from lab.faults.service import Service

ROUNDS = 20 if FULL else 3


def test_nothing_acknowledged_is_lost_when_the_service_is_killed(
    serve: Serve, figures: Figures
) -> None:
    service = serve()
    acknowledged = []

    for _ in range(ROUNDS):
        with load(service, readers=1).running() as people:
            people.wait_for(5)
            time.sleep(random.uniform(0, 0.5))
            service.kill()
        acknowledged += people.acknowledged
        service.start()
    lost, doubled = lost_and_doubled(acknowledged, service)

    figures(rounds=ROUNDS, acknowledged=len(acknowledged), lost=lost, doubled=doubled)
    assert (lost, doubled) == (0, 0)
    assert service.database.is_sound()


@on_postgresql
def test_nothing_acknowledged_is_lost_when_the_database_is_killed(
    service: Service, figures: Figures
) -> None:
    with load(service).running() as people:
        for _ in range(ROUNDS):
            people.wait_for(20)
            time.sleep(random.uniform(0, 0.5))
            with service.database.server.killed():
                time.sleep(0.5)
        people.wait_for(20)
    lost, doubled = lost_and_doubled(people.acknowledged, service)

    figures(
        rounds=ROUNDS,
        codes=dict(people.codes()),
        acknowledged=len(people.acknowledged),
        lost=lost,
        doubled=doubled,
    )
    assert (lost, doubled) == (0, 0)
    assert people.codes().keys() <= {200, 201, 503}
    assert service.database.is_sound()
