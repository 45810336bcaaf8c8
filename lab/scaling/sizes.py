"""Measure requests with a thousand and with five million tasks in the table: `make sizes`.

It takes five minutes, and two gigabytes of disk.

Prints the medians of several hundred calls, one after the other, in turn on each size; in
milliseconds that a caller waits, and that the service and the database compute. Ends with 1 if
more tasks cost more than `BOUND` times what a thousand do.
"""

import random
import statistics
import sys
import time
from collections import defaultdict
from contextlib import ExitStack

from lab.faults.client import TASKS, Client, Response
from lab.faults.service import Service
from lab.scaling.filling import ANN, HERS, Rig, backends, bytes_of, cpu_seconds, fill, rig

SIZES = (1_000, 100_000, 5_000_000)
ROUNDS = 500
WARM_UP = 50
BOUND = 1.2
POSITION = 100_000  # position of a distant page; with fewer tasks, of the last one
PAGE = 20


class Size:
    """A service with a table of this many tasks, and Ann, who uses it."""

    def __init__(self, rows: int, service: Service, client: Client) -> None:
        self.rows = rows
        self.waited: dict[str, list[float]] = defaultdict(list)
        self.computed: dict[str, list[float]] = defaultdict(list)
        self._client = client
        hers = self._ids()
        self._far = hers[min(POSITION, len(hers) - PAGE) - 1]
        self._some = random.sample(hers, min(len(hers), ROUNDS))
        self._processes = [service.pid, *backends(service.database)]

    def _ids(self) -> list[str]:
        """Return the ids of Ann's tasks, newest first, from the API."""
        ids: list[str] = []
        cursor = ""
        while cursor is not None:
            page = self._client.get(f"{TASKS}?limit=100{cursor}").json()
            ids += [task["id"] for task in page["items"]]
            cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
        assert len(ids) == self.rows // HERS
        self._client.close()  # the service would close it before its next turn
        return ids

    def measure(self) -> None:
        """Send each kind of request once."""
        self._note("first page", 200, "GET", TASKS)
        self._note("far page", 200, "GET", f"{TASKS}?cursor={self._far}")
        self._note("get", 200, "GET", f"{TASKS}/{random.choice(self._some)}")
        new = self._note("create", 201, "POST", TASKS, {"title": "One more"}).json()["id"]
        self._note("change", 200, "PATCH", f"{TASKS}/{new}", {"completed": True})
        self._note("delete", 204, "DELETE", f"{TASKS}/{new}")

    def forget(self) -> None:
        """Return the measurements so far."""
        self.waited.clear()
        self.computed.clear()

    def _note(self, what: str, expected: int, *call: object) -> Response:
        before = cpu_seconds(self._processes)
        answer = self._client.call(*call)
        assert answer.status == expected, answer
        self.waited[what].append(answer.seconds)
        self.computed[what].append(cpu_seconds(self._processes) - before)
        return answer


def open_sizes(rig: Rig, stack: ExitStack) -> list[Size]:
    sizes = []
    for rows in SIZES:
        database = rig.database(f"database-{rows}")
        with rig.serving(database):
            pass  # which creates the tables
        began = time.monotonic()
        fill(database, rows)
        seconds, megabytes = time.monotonic() - began, bytes_of(database) / 1e6
        print(f"{rows:>9,} tasks: {megabytes:7.1f} MB, filled in {seconds:.0f} s", flush=True)
        service = stack.enter_context(rig.serving(database))
        sizes.append(Size(rows, service, stack.enter_context(service.client(ANN))))
    return sizes


def table(sizes: list[Size], figures: list[dict[str, list[float]]]) -> float:
    """Print the medians, also relative to the first one, and return the greatest ratio."""
    print(f"{'':12}" + "".join(f"{size.rows:>18,}" for size in sizes))
    worst = 0.0
    for what in figures[0]:
        medians = [statistics.median(each[what]) * 1000 for each in figures]
        ratios = [median / medians[0] for median in medians]
        cells = zip(medians, ratios, strict=True)
        print(f"{what:12}" + "".join(f"{ms:10.2f} ({times:.2f}x)" for ms, times in cells))
        worst = max(worst, *ratios)
    return worst


def main(kind: str) -> float:
    print(f"{kind}: milliseconds, and how many times those of the first column")
    with rig(kind) as made, ExitStack() as stack:
        sizes = open_sizes(made, stack)
        for turn in range(WARM_UP + ROUNDS):
            if turn == WARM_UP:
                for size in sizes:
                    size.forget()
            # None is always the first, or always after the largest.
            for size in random.sample(sizes, len(sizes)):
                size.measure()
    print("\nwaited for")
    waited = table(sizes, [size.waited for size in sizes])
    print("\ncomputed, by service and database")
    computed = table(sizes, [size.computed for size in sizes])
    return max(waited, computed)


if __name__ == "__main__":
    worst = [main(kind) for kind in sys.argv[1:] or ("postgresql", "sqlite")]
    sys.exit(max(worst) > BOUND and f"{max(worst):.2f} times is more than {BOUND}")
