"""The page about the effects of failovers, in Markdown, and the short table of scaling.md."""

import os
import platform
import re
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from lab.benchmarks.report import row, table
from lab.cluster.deployment import ROUTES, WORKERS
from lab.cluster.faults import BEHIND, CUT, FAULTS
from lab.cluster.ledger import PAUSE, WRITERS, Outcome
from lab.cluster.patroni import SETTINGS
from lab.scaling.machines import which

PAGE = """# Failover

Written by `make cluster` on {date}. `make check` runs each fault once, and fails if an
acknowledged task is lost or doubled, or if a response takes 5 seconds.

## How it was measured

- PostgreSQL on three nodes with Patroni, one etcd, HAProxy and PgBouncer, all on one machine. A
  commit is acknowledged once a replica has it (`synchronous_mode`). `ttl` is {ttl} seconds,
  `loop_wait` {loop_wait} and `retry_timeout` {retry_timeout}.
- Three services with {workers} workers each run at the same time, so each fault affects all
  three. They reach the primary in different ways: **hosts** lists the three nodes in
  `DATABASE_URL`, **haproxy** uses the address of an HAProxy that asks Patroni which node is the
  primary, and **pgbouncer** uses a PgBouncer in transaction mode in front of that HAProxy. The
  configurations are those in a project's `docs/scaling.md`.
- {writers} clients of each service create tasks, with {pause} ms between two requests. Half of them
  repeat a request with its `Idempotency-Key` until it is acknowledged; the others continue with the
  next task. Afterward, each acknowledged task is looked up through the API and on the primary.

| fault | what happens |
| --- | --- |
| kill | `kill -9` of the primary and its Patroni, {behind} s after the replicas stopped receiving |
| switchover | an operator has Patroni promote another node |
| freeze | `SIGSTOP` of the primary and its Patroni; `SIGCONT` once another node has taken over |
| cut | the services cannot reach the primary for {cut} s; the cluster itself is healthy |

## Results

**lost** and **doubled** count tasks. **unknown** counts tasks that exist although no request for
them was acknowledged: their clients got a 503 and did not repeat it. **outage** is the longest time
without an acknowledged write. **first write** is the time from when the new primary accepted writes
(or the cut ended) to the first acknowledged one. Both are medians, with the longest in parentheses.

{results}

{problems}

## Measured on

{facts}
"""

HEAD = (
    *("fault", "way", "PostgreSQL", "runs", "acknowledged", "lost", "doubled", "unknown"),
    *("responses", "slowest response", "outage", "first write"),
)
SHORT_HEAD = (
    *("fault", "way", "runs", "acknowledged", "lost", "doubled"),
    *("slowest response", "outage", "first write"),
)

Key = tuple[str, str, str]
"""Fault, way and version of PostgreSQL."""


def seconds(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} s ({max(values):.1f})"


def counted(outcome: Outcome) -> list[object]:
    return [len(outcome.gaps), f"{outcome.acknowledged:,}", len(outcome.lost), len(outcome.doubled)]


def timed(outcome: Outcome) -> list[object]:
    return [f"{outcome.slowest:.1f} s", seconds(outcome.gaps), seconds(outcome.firsts)]


def full(outcomes: Mapping[Key, Outcome]) -> str:
    rows = []
    for (fault, way, version), outcome in sorted(outcomes.items(), key=_order):
        codes = ", ".join(
            f"{code or 'none'}: {count:,}" for code, count in sorted(outcome.codes.items())
        )
        rows.append(
            [fault, way, version, *counted(outcome), outcome.unanswered, codes, *timed(outcome)]
        )
    return table(HEAD, rows)


def short(outcomes: Mapping[Key, Outcome]) -> str:
    """All versions of PostgreSQL together."""
    sums: dict[Key, Outcome] = {}
    for (fault, way, _), outcome in outcomes.items():
        sums[fault, way, ""] = sums.get((fault, way, ""), Outcome()) + outcome
    return table(
        SHORT_HEAD,
        [
            [fault, way, *counted(outcome), *timed(outcome)]
            for (fault, way, _), outcome in sorted(sums.items(), key=_order)
        ],
    )


def _order(item: tuple[Key, Outcome]) -> tuple[int, int, str]:
    (fault, way, version), _ = item
    return list(FAULTS).index(fault), ROUTES.index(way), version


def first_line(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.splitlines()[0]


def facts(patroni: Path) -> str:
    haproxy = re.sub(r"version (\S+).*", r"\1", first_line(which("haproxy"), "-v"))
    etcd = first_line(which("etcd"), "--version").replace("Version: ", "")
    versions = (
        first_line(patroni / "patroni", "--version"), etcd, haproxy,
        first_line(which("pgbouncer"), "--version"),
    )  # fmt: skip
    cpus = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", cpus)
    return "\n".join((
        f"- {model[1] if model else platform.machine()}; cores: {cpus.count('processor	')}",
        f"- {platform.system()} {platform.release()}",
        f"- {', '.join(versions)}",
        f"- load average when it ended: {os.getloadavg()[1]:.0f}",
    ))  # fmt: skip


def page(outcomes: Mapping[Key, Outcome], problems: Iterable[str], facts: str) -> str:
    return PAGE.format(
        **SETTINGS,
        date=datetime.now(UTC).date(),
        workers=WORKERS,
        writers=2 * WRITERS,
        pause=round(PAUSE * 1000),
        behind=BEHIND,
        cut=round(CUT),
        results=full(outcomes),
        problems="\n".join(problems),
        facts=facts,
    )


def replace_table(document: Path, outcomes: Mapping[Key, Outcome]) -> None:
    """Put the short table in the place of the one that the document has."""
    head = re.escape(row(*SHORT_HEAD))
    text, count = re.subn(rf"(?m)^{head}\n(\|.*\n)+", f"{short(outcomes)}\n", document.read_text())
    assert count == 1, f"{document} has {count} tables of failovers"
    document.write_text(text)
