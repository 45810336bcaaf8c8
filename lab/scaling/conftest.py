"""Several machines of the service behind one address and before one database: real programs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.faults.conftest import figures, pytest_terminal_summary  # noqa: F401 - fixtures
from lab.faults.databases import PostgresDatabase, PostgresServer
from lab.faults.issuer import KeySet
from lab.scaling.machines import PgBouncer, which
from tests.rendering import Machine, RenderedProject, workshop_for


def missing() -> list[str]:
    """What this machine lacks for these tests."""
    tools = ("haproxy", "make", "nginx", "pgbouncer")
    return [f"{tool} is missing (apt-get install {tool})" for tool in tools if not which(tool)]


@pytest.fixture(scope="session")
def workshop() -> Iterator[Path]:
    with workshop_for("scaling", ", ".join(missing())) as folder:
        yield folder


@pytest.fixture(scope="session")
def project(workshop: Path) -> RenderedProject:
    folder = workshop / "machine"
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
def postgres(workshop: Path, project: RenderedProject) -> Iterator[PostgresServer]:
    folder = workshop / "postgres"
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
def pgbouncer(workshop: Path, database: PostgresDatabase) -> Iterator[PgBouncer]:
    """Before the database, in transaction mode."""
    folder = workshop / f"pgbouncer-{database.name}"
    folder.mkdir()
    server = PgBouncer(folder, database.name, database.server.port, database.server.user)
    server.start()
    yield server
    server.stop()
