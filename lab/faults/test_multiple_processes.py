"""Several processes of the service share an SQLite file."""

import time
from contextlib import ExitStack

import pytest

from lab.faults.client import TASKS, codes, slowest
from lab.faults.conftest import FULL, Figures, Serve, on_sqlite
from lab.faults.load import load, lost_and_duplicated
from lab.faults.service import Service

SECONDS = 30 if FULL else 5
PROCESSES = 4


def processes(serve: Serve) -> list[Service]:
    return [serve() for _ in range(PROCESSES)]


def workers(serve: Serve) -> list[Service]:
    return [serve(WORKERS=str(PROCESSES))] * PROCESSES


@on_sqlite
@pytest.mark.parametrize("several", [processes, workers])
def test_multiple_processes_write_one_file(serve: Serve, figures: Figures, several) -> None:
    services = several(serve)
    loads = [load(service, writers=2, readers=1) for service in services]

    with ExitStack() as running:
        for clients in loads:
            running.enter_context(clients.running())
        time.sleep(SECONDS)
    answers = [answer for clients in loads for answer in clients.of(TASKS)]
    acknowledged = [title for clients in loads for title in clients.acknowledged]
    lost, doubled = lost_and_duplicated(acknowledged, services[0])

    writes = [answer for answer in answers if answer.call.startswith("POST")]
    refused = sum(answer.status == 503 for answer in writes)
    figures(
        writes=len(writes),
        codes=codes(answers),
        share_of_503=f"{refused / len(writes):.2%}",
        slowest=slowest(answers),
        lost=lost,
        doubled=doubled,
    )
    assert codes(answers) <= {200, 201, 503}
    assert slowest(answers) < 5
    assert (lost, doubled) == (0, 0)
    assert services[0].database.is_sound()
