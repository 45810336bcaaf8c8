"""Long ordinary load with two outages: errors occur only then, and memory stays bounded."""

import os
import random
import time
from collections.abc import Callable
from contextlib import nullcontext

from lab.faults.client import TASKS, Client, Response, codes, open_client, slowest
from lab.faults.conftest import FULL, Figures
from lab.faults.databases import SqliteFile
from lab.faults.issuer import Issuer, KeySet
from lab.faults.load import Load
from lab.faults.processes import open_files, resident_bytes
from lab.faults.service import Service

SECONDS = float(os.environ.get("SOAK_SECONDS") or (300 if FULL else 20))
OUTAGE = 3.0  # seconds
BEFORE, AFTER = 5, 2.5  # seconds: requests that began before the outage, and recovery
USERS = ("ann", "bob", "cleo")


def random_request() -> Callable[[Client], Response]:
    """Return a function that sends a random request about the client's own tasks."""
    mine: list[str] = []

    def act(client: Client) -> Response:
        match random.choices(("create", "list", "get", "change", "delete"), (3, 3, 3, 2, 2))[0]:
            case "create":
                answer = client.create(description="words " * 50)
                if answer.is_success:
                    mine.append(answer.json()["id"])
                return answer
            case "get" if mine:
                return client.get(f"{TASKS}/{random.choice(mine)}")
            case "change" if mine:
                return client.call("PATCH", f"{TASKS}/{random.choice(mine)}", {"completed": True})
            case "delete" if len(mine) > 20:
                # Not requested again: after a 503, the task may or may not be deleted.
                return client.call("DELETE", f"{TASKS}/{mine.pop(0)}")
        return client.get(TASKS)

    return act


def test_memory_and_files_stay_bounded_and_errors_end_with_their_cause(
    service: Service, issuer: Issuer, figures: Figures
) -> None:
    clients, strangers = Load(), Load()
    for user in USERS:
        clients.add(service.client(user), random_request(), pause=0.03)
    tokens = [service.token("ann")[:-8] + "AAAAAAAA"]
    if isinstance(issuer, KeySet):
        tokens.append(issuer.token("ann", key_id="unknown"))
    for token in tokens:
        strangers.add(open_client(service.port, token), lambda client: client.get(TASKS), pause=0.2)
    database = service.database
    outage = database.locked() if isinstance(database, SqliteFile) else database.away()
    began = time.monotonic()

    def sample_at(share: float) -> tuple[int, int]:
        time.sleep(began + share * SECONDS - time.monotonic())
        return resident_bytes(service.pid), open_files(service.pid)

    with clients.running(), strangers.running():
        early = sample_at(0.25)
        since = time.monotonic()
        with outage:
            time.sleep(OUTAGE)
        until = time.monotonic() + AFTER
        sample_at(0.6)
        with issuer.away() if isinstance(issuer, KeySet) else nullcontext():
            sample_at(0.8)
        last = sample_at(1)

    errors = [answer for answer in clients.answers if not answer.is_success]
    outside = [answer for answer in errors if not since - BEFORE < answer.begun < until]
    growth = last[0] / early[0] - 1
    figures(
        seconds=SECONDS,
        answers=len(clients.answers),
        errors_within=len(errors) - len(outside),
        errors_outside=len(outside),
        slowest=slowest(clients.answers),
        memory=f"{early[0] >> 20} MiB {growth:+.1%}",
        open_files=f"{early[1]} to {last[1]}",
        strangers=dict(strangers.codes()),
    )
    assert not outside, outside[:3]
    assert codes(errors) <= {503}
    assert slowest(clients.answers) < 5
    assert growth < 0.1
    assert last[1] <= early[1] + 3
    assert strangers.codes().keys() == {401}
