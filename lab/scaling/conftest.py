"""Several instances of the service behind one address, with one database and real proxies."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.faults.conftest import figures, pytest_terminal_summary  # noqa: F401 - fixtures
from lab.faults.databases import PostgresDatabase, PostgresServer
from lab.faults.issuer import KeySet
from lab.scaling.machines import PgBouncer, which
from tests.rendering import Machine, RenderedProject, shared_folder_for


def missing() -> list[str]:
    """Return what this machine lacks for these tests."""
    tools = ("haproxy", "make", "nginx", "pgbouncer")
    return [f"{tool} is missing (apt-get install {tool})" for tool in tools if not which(tool)]


@pytest.fixture(scope="session")
def shared_folder() -> Iterator[Path]:
    with shared_folder_for("scaling", ", ".join(missing())) as folder:
        yield folder


@pytest.fixture(scope="session")
def project(shared_folder: Path) -> RenderedProject:
    folder = shared_folder / "machine"
    folder.mkdir()
    answers = {"database": "postgresql", "token_verification": "jwks", "frontend": "none"}
    project = Machine(folder).render(**answers)
    project.run("make .venv/ready")
    return project


@pytest.fixture(scope="session")
def issuer() -> Iterator[KeySet]:
    issuer = KeySet()
    yield issuer
    issuer.close()


@pytest.fixture(scope="session")
def postgres(shared_folder: Path, project: RenderedProject) -> Iterator[PostgresServer]:
    folder = shared_folder / "postgres"
    folder.mkdir()
    server = PostgresServer(project, folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[PostgresDatabase]:
    with postgres.database() as database:
        yield database


@pytest.fixture
def pgbouncer(shared_folder: Path, database: PostgresDatabase) -> Iterator[PgBouncer]:
    """PgBouncer in transaction mode, in front of the database."""
    folder = shared_folder / f"pgbouncer-{database.name}"
    folder.mkdir()
    server = PgBouncer(folder, database.name, database.server.port, database.server.user)
    server.start()
    yield server
    server.stop()
