"""Run all faults on one cluster repeatedly: `make cluster` runs this for each PostgreSQL."""

import json
import signal
import sys
from pathlib import Path
from typing import Any

from lab.cluster.deployment import deployed
from lab.cluster.faults import FAULTS
from lab.cluster.patroni import Programs
from tests.rendering import RenderedProject


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def main(project: str, folder: str, patroni: str, postgresql: str, rounds: str) -> None:
    """Print a JSON object for each fault and way, and after each round the problems so far."""
    # So that SIGTERM, too, stops the servers that it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    programs = Programs(Path(patroni), Path(postgresql))
    with deployed(RenderedProject(Path(project)), Path(folder), programs) as deployment:
        for _ in range(int(rounds)):
            for name, fault in FAULTS.items():
                for way, outcome in deployment.inject(fault).items():
                    say(fault=name, way=way, outcome=vars(outcome))
            say(tracebacks=deployment.tracebacks(), pgbouncer_ends=deployment.pgbouncer.ends())


if __name__ == "__main__":
    main(*sys.argv[1:])
