"""What is measured: requests in a second, what each costs the server, starts and memory."""

import json
import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from faults.processes import children, resident_bytes

from benchmarks.stage import HERE, TASKS_EACH, Service, Stage

OPERATIONS = ("list", "get", "create", "change", "delete")
CONNECTIONS = 16
DELETED_PER_SECOND = 6_000  # at most; a run that has deleted them all ends sooner


@dataclass(frozen=True)
class Sample:
    per_second: float
    microseconds: float
    """What one request costs the server, in time of its processor."""


Samples = Mapping[str, Sequence[Sample]]
"""By what was measured; the same number of rounds each."""


@dataclass(frozen=True)
class Start:
    seconds: float
    idle_mib: float


class Load:
    """Asks a server for the same thing for some seconds, and notes what it did and what it cost."""

    def __init__(self, stage: Stage, rounds: int, seconds: int) -> None:
        self._stage = stage
        self._rounds = rounds
        self._seconds = seconds
        self._blocks = count()
        self._rows = DELETED_PER_SECOND * seconds
        self.to_delete = {"blocks": 3 * rounds, "rows": self._rows}

    def rounds(self, operation: str, services: Mapping[str, Service]) -> Samples:
        """All servers in each round, another one first each time."""
        names = list(services)
        samples: dict[str, list[Sample]] = {name: [] for name in names}
        for number in range(self._rounds):
            begin = number % len(names)
            for name in names[begin:] + names[:begin]:
                samples[name].append(self.once(operation, services[name]))
        return samples

    def once(self, operation: str, service: Service) -> Sample:
        """Raises AssertionError unless every answer was good."""
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
        is_good = result["requests"] and not result["refused"] + result["failed"]
        assert is_good, f"{operation}: {result}\n{service.printed()}"
        return Sample(result["requests"] / result["seconds"], cpu / result["requests"] * 1e6)


def cpu_seconds(pid: int) -> float:
    """Of the process and its children, in the kernel too."""
    user, kernel = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    own = (int(user) + int(kernel)) / os.sysconf("SC_CLK_TCK")
    return own + sum(cpu_seconds(child) for child in children(pid))


def mebibytes(service: Service) -> float:
    return resident_bytes(service.pid) / 2**20


def starts(stage: Stage, subjects: Mapping[str, str], rounds: int) -> dict[str, Start]:
    """The medians from the launch to the first good page of tasks, and of the memory by then."""
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    memory: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, start in subjects.items():
            began = time.perf_counter()
            with stage.serving({name: start}) as services:
                seconds[name].append(time.perf_counter() - began)
                memory[name].append(mebibytes(services[name]))
    return {
        name: Start(statistics.median(seconds[name]), statistics.median(memory[name]))
        for name in subjects
    }


@dataclass(frozen=True)
class Ratio:
    """Of several rounds, each of which compares with the same round of another."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Ratio":
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f} to {self.most:.2f})"


def throughput(samples: Samples, name: str, base: str) -> Ratio:
    """How many requests it answers, to those of the base."""
    pairs = zip(samples[name], samples[base], strict=True)
    return Ratio.of([one.per_second / other.per_second for one, other in pairs])


def economy(samples: Samples, name: str, base: str) -> Ratio:
    """How many requests it answers in a second of its processor, to those of the base."""
    pairs = zip(samples[name], samples[base], strict=True)
    return Ratio.of([other.microseconds / one.microseconds for one, other in pairs])
