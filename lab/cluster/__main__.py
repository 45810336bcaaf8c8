"""`make cluster`: run each fault 20 times on each PostgreSQL of this machine, and write the page.

CLUSTER_ROUNDS replaces the 20. If it is interrupted, it writes the page from the results so far.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from lab.cluster import report
from lab.cluster.deployment import missing, rendered
from lab.cluster.ledger import Outcome
from lab.cluster.patroni import embedded, install_patroni
from tests.rendering import PROJECT, ROOT, Machine, RenderedProject

ROUNDS = os.environ.get("CLUSTER_ROUNDS", "20")
PAGE = ROOT / "docs/benchmarks/failover.md"
LINES = "outcomes.jsonl"
DOCUMENT = PROJECT / "docs/scaling.md"


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def postgresqls(project: RenderedProject) -> dict[str, Path]:
    """Return the folder with the programs of each PostgreSQL, by version."""
    folders = [embedded(project), *Path("/usr/lib/postgresql").glob("*/bin")]
    printed = [report.first_line(folder / "postgres", "--version") for folder in folders]
    versions = [re.search(r"\d+(\.\d+)?", line)[0] for line in printed]
    return dict(zip(versions, folders, strict=True))


def start(
    project: RenderedProject, patroni: Path, postgresql: Path, folder: Path
) -> subprocess.Popen[bytes]:
    folder.mkdir()
    arguments = [project.path, folder, patroni, postgresql, ROUNDS]
    with (folder / LINES).open("w") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "lab.cluster.measuring", *arguments], stdout=file
        )


def measured(version: str, lines: list[str]) -> tuple[dict[report.Key, Outcome], str]:
    """Return the outcomes, and a line about problems of the programs."""
    outcomes: dict[report.Key, Outcome] = {}
    problem = f"- PostgreSQL {version}: no round was completed"
    for line in map(json.loads, lines):
        if "outcome" in line:
            codes = Counter({int(code): count for code, count in line["outcome"]["codes"].items()})
            outcome = Outcome(**line["outcome"] | {"codes": codes})
            key = (line["fault"], line["way"], version)
            outcomes[key] = outcomes.get(key, Outcome()) + outcome
        else:
            problem = (
                f"- PostgreSQL {version}: {line['tracebacks']} tracebacks in the logs of the "
                f"services; PgBouncer exited by itself {line['pgbouncer_ends']} times"
            )
    return outcomes, problem


def main() -> None:
    if lack := missing():
        raise SystemExit(lack)
    # So that SIGTERM, too, stops the servers that it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    outcomes: dict[report.Key, Outcome] = {}
    problems: list[str] = []
    # Not in a home folder: under root, the servers run as another user, who may have no access.
    with TemporaryDirectory(prefix="cluster-") as root:
        Path(root).chmod(0o755)
        project, patroni = rendered(Machine(Path(root))), install_patroni(Path(root) / "patroni")
        running = {
            version: start(project, patroni, programs, Path(root) / version)
            for version, programs in postgresqls(project).items()
        }
        say(f"{ROUNDS} rounds on PostgreSQL {' and '.join(running)}, 100 seconds each")
        with suppress(KeyboardInterrupt):
            for process in running.values():
                process.wait()
        for version, process in running.items():
            process.terminate()  # only if the wait was interrupted
            process.wait()
            lines = (Path(root) / version / LINES).read_text().splitlines()
            more, problem = measured(version, lines)
            outcomes |= more
            problems.append(problem)
        facts = report.facts(patroni)
    if not outcomes:
        raise SystemExit("No round was completed.")
    PAGE.write_text(report.page(outcomes, problems, facts))
    report.replace_table(DOCUMENT, outcomes)
    say(f"Written: {PAGE.relative_to(ROOT)}, and the table of {DOCUMENT.relative_to(ROOT)}")


main()
