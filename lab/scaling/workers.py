"""Measure pages of tasks per second with 1, 2 and 4 workers: `make workers`.

PostgreSQL and wrk, who asks, are on the same machine and take their share of its cores; so the
processor time of a request says more than how many there were.
"""

import os
import re
import shutil
import subprocess
import sys
import time

from lab.faults.client import TASKS
from lab.faults.service import Service
from lab.scaling.filling import ANN, backends, cpu_seconds, fill, rig

ROWS = 100_000
SECONDS = 10
CONNECTIONS = 16


def requests(service: Service, seconds: int) -> tuple[int, float]:
    """Return the number of responses, which must all be successful, and the seconds."""
    headers = ["-H", f"Authorization: Bearer {service.token(ANN)}"]
    url = f"http://127.0.0.1:{service.port}{TASKS}"
    wrk = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", *headers, url]
    began = time.monotonic()
    printed = subprocess.check_output(wrk, text=True)
    assert "Non-2xx" not in printed, printed
    assert "Socket errors" not in printed, printed
    return int(re.search(r"(\d+) requests in", printed)[1]), time.monotonic() - began


def spent(service: Service) -> tuple[float, float]:
    """Return the CPU seconds so far of the service, and of PostgreSQL's processes for it."""
    of_service = cpu_seconds([service.pid, *service.workers()])
    return of_service, cpu_seconds(backends(service.database))


def main() -> None:
    if not shutil.which("wrk"):
        sys.exit("wrk is missing (apt-get install wrk)")
    print(f"A page of 20 of {ROWS:,} tasks, {os.cpu_count()} cores for all")
    print("workers  requests/s  ms of the service  ms of PostgreSQL  connections")
    with rig("postgresql") as made:
        database = made.database("tasks")
        with made.serving(database):
            pass  # which creates the tables
        fill(database, ROWS)
        for workers in (1, 2, 4):
            with made.serving(database, WORKERS=str(workers)) as service:
                requests(service, 2)
                before = spent(service)
                count, seconds = requests(service, SECONDS)
                after = spent(service)
                connections = len(backends(database))
            of_service, of_postgres = (
                (end - begin) / count * 1000 for begin, end in zip(before, after, strict=True)
            )
            print(
                f"{workers:7}  {count / seconds:10.0f}  {of_service:17.2f}  {of_postgres:16.2f}"
                f"  {connections:11}",
                flush=True,
            )


if __name__ == "__main__":
    main()
