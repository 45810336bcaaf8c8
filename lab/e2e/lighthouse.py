"""`make lighthouse`: audit the pages of a production build, and write the report.

LIGHTHOUSE_RUNS sets the number of runs per page; the default is 5.
"""

import json
import os
import platform
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lab.benchmarks.report import table
from lab.e2e.browser_user import CHROMIUM_FLAGS
from lab.e2e.conftest import CHROMIUM, missing
from lab.e2e.project_factory import ProjectFactory
from lab.e2e.stack import COMBINATIONS, Stack, running
from lab.e2e.users import User
from tests.rendering import ROOT

PACKAGES = ("lighthouse@~12.8.2", "chrome-launcher@~1.2.0")
PAGE = ROOT / "docs/benchmarks/lighthouse.md"
# Each path, and whether it is visited signed in.
PAGES = {
    "/sign-in": False,
    "/": True,
    "/sign-up": False,
    "/forgot-password": False,
    "/account": True,
}
TASKS = 5
EXACT = ("accessibility", "best-practices")
LIMIT = 200  # KiB
TEXT = """# Lighthouse

Written by `make lighthouse` on {date}, from the frontend's production build. `make check` fails if
a page scores less than 100 for accessibility or best practices, or transfers more than {limit} KiB:
these figures are the same on every machine. Performance depends on the machine and its load, so no
test fails because of it.

The figures are for a phone, Lighthouse's default: it simulates a network with 1.6 Mbit/s and a
latency of 150 ms, and a processor four times slower than the machine's. `/` and `/account` are
those of a signed-in user with {tasks} tasks. Figures are medians of {runs} runs, but accessibility
and best practices are the lowest scores. Performance also has its lowest and highest score. A first
browse is not counted, because server and browser are still warming up.

{results}

Performance consists mostly of **largest paint** (largest contentful paint) and **blocked** (total
blocking time).

## Measured on

{facts}
"""


@dataclass(frozen=True)
class Audit:
    """One run of Lighthouse on one page. Times are None unless performance was audited."""

    url: str
    scores: dict[str, int]
    failed: list[str]
    bytes: int
    paint: float | None
    blocking: float | None
    speed: float
    version: str

    @property
    def kibibytes(self) -> float:
        return self.bytes / 1024


def cookie(user: User) -> str:
    return "; ".join(f"{each.name}={each.value}" for each in user.site.cookies.jar)


class Lighthouse:
    """Lighthouse from npm, with the system's Chromium."""

    def __init__(self, factory: ProjectFactory) -> None:
        self._folder = factory.install_packages("lighthouse", *PACKAGES)
        shutil.copy(Path(__file__).with_name("audit.mjs"), self._folder.path)

    def audit(
        self, stack: Stack, pages: dict[str, bool], *more: str, runs: int = 1
    ) -> dict[str, list[Audit]]:
        """Return the audits of each page; `more` adds categories to the exact ones."""
        ann = stack.sign_up("Ann")
        for number in range(1, TASKS + 1):
            ann.add(f"Task {number}")
        visits = [
            {"url": stack.site_url + path, "cookie": cookie(ann) if signed_in else None}
            for path, signed_in in pages.items()
            for _ in range(runs)
        ]
        asked: dict[str, Any] = {
            "chromium": next(filter(None, map(shutil.which, CHROMIUM))),
            "flags": CHROMIUM_FLAGS,
            "categories": [*EXACT, *more],
            "visits": visits,
        }
        printed = self._folder.run(f"node audit.mjs {shlex.quote(json.dumps(asked))}")
        audits = [Audit(**each) for each in json.loads(printed.splitlines()[-1])]
        # A page could have redirected, for example to the sign-in page.
        assert [audit.url for audit in audits] == [browse["url"] for browse in visits]
        return {
            path: audits[number * runs : (number + 1) * runs] for number, path in enumerate(pages)
        }


def results(audits: dict[str, list[Audit]]) -> str:
    rows = []
    for path, each in audits.items():
        performance = [audit.scores["performance"] for audit in each]
        rows.append([
            f"`{path}`",
            f"{statistics.median(performance):.0f} ({min(performance)} to {max(performance)})",
            *(min(audit.scores[category] for audit in each) for category in EXACT),
            f"{statistics.median(audit.kibibytes for audit in each):.0f} KiB",
            f"{statistics.median(audit.paint or 0 for audit in each) / 1000:.1f} s",
            f"{statistics.median(audit.blocking or 0 for audit in each):.0f} ms",
        ])  # fmt: skip
    head = ("performance", "accessibility", "best practices", "transferred", "largest paint")
    return table(("page", *head, "blocked"), rows)


def facts(audits: Sequence[Audit]) -> str:
    cpus = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", cpus)
    chromium = next(filter(None, map(shutil.which, CHROMIUM)))
    versions = [
        subprocess.check_output([program, "--version"], text=True).strip()
        for program in (chromium, "node")
    ]
    return "\n".join((
        f"- {model[1] if model else platform.machine()}; cores: {os.cpu_count()}",
        f"- Lighthouse {audits[0].version}, {versions[0]}, Node {versions[1]}",
        f"- Lighthouse's own benchmark of this processor while it ran: "
        f"{statistics.median(audit.speed for audit in audits):.0f}",
        f"- load average when it ended: {os.getloadavg()[1]:.0f}",
    ))  # fmt: skip


def main() -> None:
    if lack := missing():
        raise SystemExit(lack)
    runs = int(os.environ.get("LIGHTHOUSE_RUNS", "5"))
    # So that SIGTERM, too, stops the servers that this has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with TemporaryDirectory(prefix="lighthouse-") as root:
        factory = ProjectFactory(Path(root))
        database, token_verification, _ = COMBINATIONS[0]
        with running(factory, database, token_verification, production=True) as stack:
            lighthouse = Lighthouse(factory)
            audits = lighthouse.audit(stack, PAGES, "performance", runs=runs)
    PAGE.write_text(
        TEXT.format(
            date=datetime.now(UTC).date(),
            limit=LIMIT,
            tasks=TASKS,
            runs=runs,
            results=results(audits),
            facts=facts([audit for each in audits.values() for audit in each]),
        )
    )
    print(f"Written: {PAGE.relative_to(ROOT)}", file=sys.stderr)


if __name__ == "__main__":
    main()
