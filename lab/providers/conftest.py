"""Real servers for tests of DATABASE_URL: with TLS, a primary with a replica, PgBouncer."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import quote

import pytest

from lab.e2e.project_factory import ProjectFactory
from lab.faults.issuer import KeySet
from lab.faults.service import Service
from lab.providers.frontends import Frontend, installed
from lab.providers.servers import PASSWORD, USER, Authority, Postgres, which
from tests.rendering import (
    Machine,
    RenderedProject,
    cannot_run,
    clean_environment,
    shared_folder_for,
)

numbers = count(1)

NewFolder = Callable[[str], Path]
Ask = Callable[[list[str]], tuple[list[str], list[float]]]

PROBE = Path(__file__).with_name("probe.py")


def missing() -> str:
    """Return what this machine lacks for these tests, or nothing."""
    packages = {"postgres": "postgresql", "psql": "postgresql-client", "pgbouncer": "pgbouncer"}
    lacking = " ".join(package for tool, package in packages.items() if not which(tool))
    return f"not installed: {lacking} (apt-get install {lacking})" if lacking else ""


@pytest.fixture(scope="session")
def shared_folder() -> Iterator[Path]:
    with shared_folder_for("providers", missing()) as folder:
        yield folder


@pytest.fixture(scope="session")
def new_folder(shared_folder: Path) -> NewFolder:
    """`new_folder("replica")` creates an empty folder with that name and a number."""

    def make(name: str) -> Path:
        folder = shared_folder / f"{name}-{next(numbers)}"
        folder.mkdir()
        return folder

    return make


@pytest.fixture(scope="session")
def running() -> Iterator[ExitStack]:
    """Stops the servers that the session's fixtures start, the last one first."""
    with ExitStack() as stack:
        yield stack


def started(server: Postgres, running: ExitStack) -> Postgres:
    running.callback(server.stop)
    server.start()
    return server


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority("Provider CA")


@pytest.fixture(scope="session")
def tls_server(new_folder: NewFolder, authority: Authority, running: ExitStack) -> Postgres:
    """A server with TLS. `service` owns the databases; each other role is for one way of access."""
    server = started(Postgres(new_folder("tls"), authority), running)
    for role in (USER, "certified", "encrypted", "plain"):
        server.role(role)
    return server


@pytest.fixture(scope="session")
def plain_server(new_folder: NewFolder, running: ExitStack) -> Postgres:
    """A server without TLS."""
    server = started(Postgres(new_folder("plain")), running)
    server.role(USER)
    return server


@pytest.fixture(scope="session")
def project(new_folder: NewFolder) -> RenderedProject:
    answers = {"database": "postgresql", "token_verification": "jwks", "frontend": "none"}
    project = Machine(new_folder("machine")).render(**answers)
    project.run("make .venv/ready")
    return project


@pytest.fixture(scope="session")
def issuer() -> Iterator[KeySet]:
    issuer = KeySet()
    yield issuer
    issuer.close()


@dataclass(frozen=True)
class At:
    """A database that is known by its URL only."""

    url: str


@pytest.fixture
def serving(
    project: RenderedProject, issuer: KeySet, shared_folder: Path
) -> Callable[..., AbstractContextManager[Service]]:
    """`with serving(url) as service` runs it; `ready=False` does not wait until it is ready."""

    @contextmanager
    def serving(url: str, *, ready: bool = True, **settings: str) -> Iterator[Service]:
        log = shared_folder / f"service-{next(numbers)}.log"
        service = Service(project.path, issuer, At(url), settings, log=log)
        service.launch()
        try:
            service.wait() if ready else service.wait_until_alive()
            yield service
        finally:
            service.stop()

    return serving


@pytest.fixture(scope="session")
def migrated(project: RenderedProject) -> Callable[[str], str]:
    """`migrated(url)` creates the tables and returns the same URL."""

    def migrate(url: str) -> str:
        project.run(".venv/bin/alembic upgrade head", DATABASE_URL=url)
        return url

    return migrate


@pytest.fixture(scope="session")
def ask(
    project: RenderedProject, new_folder: NewFolder, migrated: Callable[[str], str],
    tls_server: Postgres, plain_server: Postgres,
) -> Ask:  # fmt: skip
    """`ask(urls)` returns the outcome of each URL, see `probe.py`, and how many seconds it took."""
    for server in (tls_server, plain_server):
        migrated(server.url(server.database("tasks")))
        server.sql(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO PUBLIC",
            database="tasks",
        )
    environment = {"HOME": str(new_folder("home")), "PGHOST": "192.0.2.1", "PGSSLMODE": "x"}

    def ask(urls: list[str]) -> tuple[list[str], list[float]]:
        done = subprocess.run(
            [project.path / ".venv/bin/python", PROBE],
            cwd=project.path,
            env=clean_environment() | environment,
            input=json.dumps(urls),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        outcomes, seconds = zip(*map(json.loads, done.stdout.splitlines()), strict=True)
        return list(outcomes), list(seconds)

    return ask


def compare(cases: list[tuple[str, str]], found: list[str]) -> None:
    """Compare all outcomes with the expected ones, and fail with a list of the wrong ones."""
    wrong = [
        f"{url}\n  expected {expected!r}, not {outcome!r}"
        for (url, expected), outcome in zip(cases, found, strict=True)
        if not (re.match(expected, outcome) if expected else outcome == "")
    ]
    assert not wrong, "\n".join(wrong)
    for outcome in found:
        assert "\n" not in outcome
        assert PASSWORD not in outcome
        assert quote(PASSWORD, safe="") not in outcome


@pytest.fixture(scope="session")
def npm_factory(new_folder: NewFolder) -> ProjectFactory:
    if not shutil.which("npm"):
        cannot_run("not installed: Node.js with npm")
    return ProjectFactory(new_folder("frontends"))


@pytest.fixture(scope="session")
def frontend(npm_factory: ProjectFactory) -> Frontend:
    return installed(npm_factory, database="postgresql", token_verification="jwks")


@pytest.fixture(scope="session")
def sqlite_frontend(npm_factory: ProjectFactory) -> Frontend:
    return installed(npm_factory, database="sqlite", token_verification="shared-secret")
