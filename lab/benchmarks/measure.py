"""The measurements: requests per second, processor time per request, starts and memory."""

import json
import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from lab.benchmarks.bench import HERE, TASKS_EACH, Bench, Service
from lab.faults.processes import children, resident_bytes

OPERATIONS = ("list", "get", "create", "change", "delete")
CONNECTIONS = 16
DELETED_PER_SECOND = 6_000  # at most; a run that has deleted them all ends sooner


@dataclass(frozen=True)
class Sample:
    per_second: float
    microseconds: float
    """The server's processor time for one request."""


Samples = Mapping[str, Sequence[Sample]]
"""The rounds of each service, by its name; the same number of each."""


@dataclass(frozen=True)
class Start:
    seconds: float
    idle_mib: float


class Load:
    """Sends a server the same kind of request for some seconds."""

    def __init__(self, bench: Bench, rounds: int, seconds: int) -> None:
        self._stage = bench
        self._rounds = rounds
        self._seconds = seconds
        self._blocks = count()
        self._rows = DELETED_PER_SECOND * seconds
        self.to_delete = {"blocks": len(bench.subjects) * rounds, "rows": self._rows}

    def rounds(self, operation: str, services: Mapping[str, Service]) -> Samples:
        """Measure all servers in each round, each round in another order."""
        names = list(services)
        samples: dict[str, list[Sample]] = {name: [] for name in names}
        for number in range(self._rounds):
            begin = number % len(names)
            for name in names[begin:] + names[:begin]:
                samples[name].append(self.once(operation, services[name]))
        return samples

    def once(self, operation: str, service: Service) -> Sample:
        """Return a sample. Raises AssertionError unless all responses were successful."""
        block = next(self._blocks) if operation == "delete" else 0
        before = cpu_seconds(service.pid)
        done = subprocess.run(
            [
                *("wrk", "--threads", "1", "--connections", str(CONNECTIONS)),
                *("--duration", f"{self._seconds}s", "--script", str(HERE / "load.lua")),
                *(f"http://127.0.0.1:{service.port}", "--", operation, str(self._stage.tokens)),
                *map(str, (TASKS_EACH, block, self._rows)),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        cpu = cpu_seconds(service.pid) - before
        result = json.loads(done.stdout.splitlines()[-1])
        is_success = result["requests"] and not result["refused"] + result["failed"]
        assert is_success, f"{operation}: {result}\n{service.printed()}"
        return Sample(result["requests"] / result["seconds"], cpu / result["requests"] * 1e6)


def cpu_seconds(pid: int) -> float:
    """Return the processor time of the process and its children, in the kernel too."""
    user, kernel = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    own = (int(user) + int(kernel)) / os.sysconf("SC_CLK_TCK")
    return own + sum(cpu_seconds(child) for child in children(pid))


def mebibytes(service: Service) -> float:
    return resident_bytes(service.pid) / 2**20


def starts(bench: Bench, names: Sequence[str], rounds: int) -> dict[str, Start]:
    """Return the medians from the launch to the first page of tasks, and of the memory by then."""
    seconds: dict[str, list[float]] = {name: [] for name in names}
    memory: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            began = time.perf_counter()
            with bench.serving([name]) as services:
                seconds[name].append(time.perf_counter() - began)
                memory[name].append(mebibytes(services[name]))
    return {
        name: Start(statistics.median(seconds[name]), statistics.median(memory[name]))
        for name in names
    }


@dataclass(frozen=True)
class Ratio:
    """Compares two services, round by round."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Ratio":
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f} to {self.most:.2f})"


def throughput(samples: Samples, name: str) -> Ratio:
    """Return the ratio of requests per second to those of the limit."""
    pairs = zip(samples[name], samples["limit"], strict=True)
    return Ratio.of([one.per_second / limit.per_second for one, limit in pairs])


def economy(samples: Samples, name: str) -> Ratio:
    """Return the ratio of requests per second of the server's processor to those of the limit."""
    pairs = zip(samples[name], samples["limit"], strict=True)
    return Ratio.of([limit.microseconds / one.microseconds for one, limit in pairs])
