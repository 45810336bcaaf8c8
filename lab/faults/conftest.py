"""A running service under faults: crashes, outages, full disks. Real processes and databases.

`FAULTS_FULL=1` makes the long tests run longer: more crashes, and minutes of ordinary load.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lab.faults.client import numbers
from lab.faults.databases import Database, PostgresServer, SqliteFile
from lab.faults.issuer import Issuer, KeySet, SharedSecret
from lab.faults.service import Service
from tests.rendering import Machine, RenderedProject, shared_folder_for

FULL = bool(os.environ.get("FAULTS_FULL"))

# Each database with another token verification.
COMBINATIONS = {"sqlite": "shared-secret", "postgresql": "jwks"}

on_sqlite = pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("kind", ["postgresql"], indirect=True)

Empty = Callable[[], AbstractContextManager[Database]]
Serving = Callable[..., AbstractContextManager[Service]]
Serve = Callable[..., Service]
Figures = Callable[..., None]


def missing() -> list[str]:
    """Return what this machine lacks for these tests."""
    lacks = [
        f"{tool} is missing" for tool in ("make", "prlimit", "setpriv") if not shutil.which(tool)
    ]
    if not sys.platform.startswith("linux"):
        lacks.append("they read /proc, as Linux has it")
    return lacks


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [each for several in terminalreporter.stats.values() for each in several]
    measured = {
        report.nodeid: ", ".join(f"{name} {value}" for name, value in report.user_properties)
        for report in reports
        if isinstance(report, pytest.TestReport) and report.user_properties
    }
    if measured:
        terminalreporter.section("figures")
    for test, figures in sorted(measured.items()):
        terminalreporter.line(f"{test.partition('::')[2]}: {figures}")


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> Figures:
    """`figures(lost=0)` shows a figure in the summary, even if the test fails."""

    def record(**values: Any) -> None:
        for name, value in values.items():
            shown = f"{value:.2f} s" if isinstance(value, float) else value
            record_property(name.replace("_", " "), shown)

    return record


@pytest.fixture(scope="session")
def shared_folder() -> Iterator[Path]:
    with shared_folder_for("faults", ", ".join(missing())) as folder:
        yield folder


@pytest.fixture(scope="session")
def project_of(shared_folder: Path) -> Callable[[str], RenderedProject]:
    @cache
    def render(kind: str) -> RenderedProject:
        folder = shared_folder / kind
        folder.mkdir()
        project = Machine(folder).render(
            database=kind, token_verification=COMBINATIONS[kind], frontend="none"
        )
        project.run("make .venv/ready")
        return project

    return render


@pytest.fixture(scope="session", params=COMBINATIONS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def issuer(kind: str) -> Iterator[Issuer]:
    if COMBINATIONS[kind] == "shared-secret":
        yield SharedSecret()
        return
    issuer = KeySet()
    yield issuer
    issuer.close()


@pytest.fixture(scope="session")
def postgres(
    shared_folder: Path, project_of: Callable[[str], RenderedProject]
) -> Iterator[PostgresServer]:
    folder = shared_folder / "postgres"
    folder.mkdir()
    server = PostgresServer(project_of("postgresql"), folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def empty(kind: str, shared_folder: Path, request: pytest.FixtureRequest) -> Empty:
    """`with empty() as database`."""

    @contextmanager
    def empty() -> Iterator[Database]:
        if kind == "sqlite":
            folder = shared_folder / f"database-{next(numbers)}"
            folder.mkdir()
            yield SqliteFile(folder)
            return
        server: PostgresServer = request.getfixturevalue("postgres")
        with server.database() as database:
            yield database

    return empty


@pytest.fixture(scope="session")
def serving(
    kind: str, project_of: Callable[[str], RenderedProject], issuer: Issuer, shared_folder: Path
) -> Serving:
    """`with serving(database, WORKERS="3") as service`; `ready=False` does not wait until it is."""

    @contextmanager
    def serving(
        database: Database,
        *,
        ready: bool = True,
        as_others: bool = False,
        files: int = 0,
        **settings: str,
    ) -> Iterator[Service]:
        log = shared_folder / f"service-{next(numbers)}.log"
        project = project_of(kind).path
        service = Service(
            project, issuer, database, settings, log=log, as_others=as_others, files=files
        )
        service.launch()
        try:
            if ready:
                service.wait()
            yield service
        finally:
            service.stop()

    return serving


@pytest.fixture
def database(empty: Empty) -> Iterator[Database]:
    with empty() as database:
        yield database


@pytest.fixture
def serve(serving: Serving, database: Database) -> Iterator[Serve]:
    """`serve(WORKERS="3")` starts a service for one test, with its own database."""
    with ExitStack() as services:
        yield lambda **how: services.enter_context(serving(**{"database": database} | how))


@pytest.fixture(scope="module")
def service(serving: Serving, empty: Empty, request: pytest.FixtureRequest) -> Iterator[Service]:
    """One service for all tests of a module, with its SETTINGS. Each test must undo its faults."""
    with empty() as database, serving(database, **getattr(request.module, "SETTINGS", {})) as each:
        yield each
