"""End to end: rendered projects, served, with the real Better Auth and in a real browser."""

import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from conftest import cannot_run
from scaling.machines import which

from e2e.stack import COMBINATIONS, Stack, running
from e2e.workshop import Workshop

NODE = (20, 12)
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@cache
def missing() -> str:
    """What this machine lacks for these tests, in a line; empty if it has all."""
    lacks = []
    node = shutil.which("node") and subprocess.check_output(["node", "--version"], text=True)
    if not node or not shutil.which("npm"):
        lacks.append("Node.js and npm are missing")
    elif tuple(map(int, re.findall(r"\d+", node)[:2])) < NODE:
        lacks.append(f"Node.js {node.strip()} is older than {'.'.join(map(str, NODE))}")
    if not any(map(shutil.which, CHROMIUM)):
        lacks.append("Chromium is missing (apt-get install chromium)")
    if not which("nginx"):
        lacks.append("nginx is missing (apt-get install nginx)")
    return ", ".join(lacks)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if missing():
        terminalreporter.line(f"The end-to-end tests did not run: {missing()}.")


@pytest.fixture(scope="session", autouse=True)
def _tools() -> None:
    if missing():
        cannot_run(missing())


@pytest.fixture(scope="session")
def chromium() -> str:
    return next(filter(None, map(shutil.which, CHROMIUM)))


@pytest.fixture(scope="session")
def workshop(_tools: None) -> Iterator[Workshop]:
    # Killed, it still ends what it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Not pytest's own folders: it keeps those of three runs, and these are large.
    with TemporaryDirectory(prefix="e2e-") as root:
        yield Workshop(Path(root))


@pytest.fixture(scope="session", params=COMBINATIONS, ids="-".join)
def stack(request: pytest.FixtureRequest, workshop: Workshop) -> Iterator[Stack]:
    """Pytest groups the tests by it, since each takes its time to start.

    It compares positions: a test of a few of the combinations must name the first ones.
    """
    database, token_verification, way = request.param
    production = way == "production"
    with running(
        workshop,
        database,
        token_verification,
        production=production,
        prefixed=request.param == COMBINATIONS[1],
    ) as stack:
        yield stack
