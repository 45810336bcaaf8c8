"""`make bench`: compare the rendered service with the same API by hand. See README.md."""

import json
import os
import shutil
import signal
import sys
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lab.benchmarks import plot, report
from lab.benchmarks.bench import HERE, Bench, Combination, bench, cores, same_body
from lab.benchmarks.measure import OPERATIONS, Load, Samples, mebibytes, starts
from lab.benchmarks.report import Results
from lab.benchmarks.revision import template_at
from lab.faults.client import TASKS
from tests.rendering import ROOT, Machine

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "1"))
BEFORE = os.environ.get("BENCH_BEFORE", "")
STARTS = 5
STARTED = ("limit", "ours", "before")
PAGE = ROOT / "docs" / "benchmarks" / "results.md"
PLOT = PAGE.with_name("ratios.svg")  # the page shows it

COMBINATIONS = [
    Combination(*both) for both in product(("sqlite", "postgresql"), ("shared-secret", "jwks"))
]


def missing() -> str | None:
    """Return what this machine lacks."""
    if not sys.platform.startswith("linux"):
        return "This needs Linux: it pins processes to cores and reads /proc."
    lacks = " ".join(tool for tool in ("make", "taskset", "wrk") if not shutil.which(tool))
    packages = lacks.replace("taskset", "util-linux")
    return f"Missing: {lacks}. On Debian: apt-get install {packages}" if lacks else None


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def measured(project: Bench) -> Results:
    load = Load(project, ROUNDS, SECONDS)
    project.fill(**load.to_delete)
    started = starts(project, [name for name in STARTED if name in project.subjects], STARTS)
    samples: dict[str, Samples] = {}
    with project.serving(project.subjects) as services:
        [task, *_] = json.loads(same_body(services, TASKS))["items"]
        same_body(services, f"{TASKS}/{task['id']}")
        for service in services.values():
            load.once("list", service)  # opens the connections to the database
        for operation in OPERATIONS:
            samples[operation] = load.rounds(operation, services)
        loaded = {name: mebibytes(services[name]) for name in started}
    return Results(samples, started, loaded)


def run(machine: Machine) -> str:
    """Measure everything, write the page and the picture, and return the page."""
    results: dict[Combination, Results] = {}
    verified: list[dict[str, Any]] = []
    versions: dict[str, str] = {}
    before = template_at(BEFORE, machine.root / "before") if BEFORE else None
    for number, combination in enumerate(COMBINATIONS, 1):
        say(f"{number} of {len(COMBINATIONS)}: {combination}")
        with bench(machine, combination, before) as project:
            results[combination] = measured(project)
            versions |= project.versions(report.PACKAGES)
            if combination.database == "sqlite":
                verified.append(json.loads(project.run(HERE / "verifying.py")))
    facts = report.facts(versions)
    page = report.page(results, verified, facts, ROUNDS, SECONDS, STARTS, BEFORE)
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page)
    PLOT.write_text(plot.plot({
        combination: result.samples
        for combination, result in results.items()
        if combination.verification == "shared-secret"
    }))  # fmt: skip
    return page


def main() -> None:
    if lack := missing():
        raise SystemExit(lack)
    # A terminated benchmark still stops the servers it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.sched_setaffinity(0, cores().others)  # of all processes that are started here
    # Not in a home folder, which may be closed: under root, PostgreSQL runs as another user.
    with TemporaryDirectory(prefix="bench-") as folder:
        Path(folder).chmod(0o755)
        print(run(Machine(Path(folder))))
    say(f"Written: {PAGE.relative_to(ROOT)} and {PLOT.relative_to(ROOT)}")


main()
