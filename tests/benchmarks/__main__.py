"""`make bench`: how much of what is possible the rendered service does. See README.md."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from conftest import ROOT, Machine
from faults.client import TASKS

from benchmarks import plot, report
from benchmarks.measure import OPERATIONS, Load, Samples, mebibytes, starts
from benchmarks.report import Results
from benchmarks.stage import (
    HERE,
    OURS,
    SUBJECTS,
    UVICORN,
    Combination,
    Service,
    Stage,
    cores,
    same_body,
    stage,
)

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "1"))
STARTS = 5
PAGE = ROOT / "docs" / "benchmarks" / "results.md"
PLOT = PAGE.with_name("ratios.svg")  # to which the page refers

COMBINATIONS = [
    Combination(*both) for both in product(("sqlite", "postgresql"), ("shared-secret", "jwks"))
]
PARSERS = ("h11", "httptools", "zttp")
GRANIAN = "-m granian --interface asgi --loop uvloop --host 127.0.0.1 --port {port}"


def missing() -> str | None:
    """What this machine lacks."""
    if not sys.platform.startswith("linux"):
        return "This needs Linux: it pins processes to cores and reads /proc."
    lacks = " ".join(tool for tool in ("make", "taskset", "wrk") if not shutil.which(tool))
    packages = lacks.replace("taskset", "util-linux")
    return f"Missing: {lacks}. On Debian: apt-get install {packages}" if lacks else None


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def warm_up(load: Load, services: Mapping[str, Service]) -> None:
    """All connections are open then, to the database too."""
    for service in services.values():
        load.once("list", service)


def measured(project: Stage) -> Results:
    load = Load(project, ROUNDS, SECONDS)
    project.fill(**load.to_delete)
    started = starts(project, {name: SUBJECTS[name] for name in ("limit", "ours")}, STARTS)
    samples: dict[str, Samples] = {}
    with project.serving(SUBJECTS) as services:
        [task, *_] = json.loads(same_body(services, TASKS))["items"]
        same_body(services, f"{TASKS}/{task['id']}")
        warm_up(load, services)
        for operation in OPERATIONS:
            samples[operation] = load.rounds(operation, services)
        samples["nothing"] = load.rounds("nothing", {"limit": services["limit"]})
        loaded = {name: mebibytes(service) for name, service in services.items()}
    return Results(samples, started, loaded)


def other_servers(project: Stage) -> Samples:
    """Ours on the list, by uvicorn's parsers and by Granian, from an environment of their own."""
    folder = project.folder / "servers"
    python = folder / "bin" / "python"
    needed = ["--requirements", project.path / "pyproject.toml", *PARSERS, "granian"]
    uv = os.environ["UV"]
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *needed], check=True)
    subjects = {parser: f"{python} {UVICORN} --http {parser} {OURS}" for parser in PARSERS}
    load = Load(project, ROUNDS, SECONDS)
    with project.serving(subjects | {"granian": f"{python} {GRANIAN} {OURS}"}) as services:
        warm_up(load, services)
        return load.rounds("list", services)


def run(machine: Machine) -> str:
    """Measures all, writes the page and the picture, and returns the page."""
    results: dict[Combination, Results] = {}
    verified: list[dict[str, Any]] = []
    servers: Samples | None = None
    versions: dict[str, str] = {}
    for number, combination in enumerate(COMBINATIONS, 1):
        say(f"{number} of {len(COMBINATIONS)}: {combination}")
        with stage(machine, combination) as project:
            results[combination] = measured(project)
            versions |= project.versions(report.PACKAGES)
            if combination.database == "sqlite":
                verified.append(json.loads(project.run(HERE / "verifying.py")))
            if combination == COMBINATIONS[0] and os.environ.get("SERVERS"):
                servers = other_servers(project)
    page = report.page(results, verified, servers, versions, ROUNDS, SECONDS, STARTS)
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
    # Killed, it still ends what it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.sched_setaffinity(0, cores().others)  # and that of all that is started here
    # Not in a home, which may be closed: the PostgreSQL of a root runs as another.
    with TemporaryDirectory(prefix="bench-") as folder:
        Path(folder).chmod(0o755)
        print(run(Machine(Path(folder))))
    say(f"Written: {PAGE.relative_to(ROOT)} and {PLOT.relative_to(ROOT)}")


main()
