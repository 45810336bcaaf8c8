"""`kill -9` during writes: every acknowledged task exists exactly once."""

import random
import time

from lab.faults.conftest import FULL, Figures, Serve, on_postgresql
from lab.faults.load import load, lost_and_duplicated
from lab.faults.service import Service

ROUNDS = 20 if FULL else 3


def test_killing_the_service_loses_no_acknowledged_write(serve: Serve, figures: Figures) -> None:
    service = serve()
    acknowledged = []

    for _ in range(ROUNDS):
        with load(service, readers=1).running() as clients:
            clients.wait_for(5)
            time.sleep(random.uniform(0, 0.5))
            service.kill()
        acknowledged += clients.acknowledged
        service.start()
    lost, doubled = lost_and_duplicated(acknowledged, service)

    figures(rounds=ROUNDS, acknowledged=len(acknowledged), lost=lost, doubled=doubled)
    assert (lost, doubled) == (0, 0)
    assert service.database.is_sound()


@on_postgresql
def test_killing_the_database_loses_no_acknowledged_write(
    service: Service, figures: Figures
) -> None:
    with load(service).running() as clients:
        for _ in range(ROUNDS):
            clients.wait_for(20)
            time.sleep(random.uniform(0, 0.5))
            with service.database.server.killed():
                time.sleep(0.5)
        clients.wait_for(20)
    lost, doubled = lost_and_duplicated(clients.acknowledged, service)

    figures(
        rounds=ROUNDS,
        codes=dict(clients.codes()),
        acknowledged=len(clients.acknowledged),
        lost=lost,
        doubled=doubled,
    )
    assert (lost, doubled) == (0, 0)
    assert clients.codes().keys() <= {200, 201, 503}
    assert service.database.is_sound()
