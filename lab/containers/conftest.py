"""The images of two projects, built by their Dockerfiles and run: `make images`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from lab.containers.engine import Container, Engine, Image, missing
from lab.e2e.users import User
from lab.faults.conftest import figures, pytest_terminal_summary  # noqa: F401 - fixtures
from lab.providers.servers import USER, Postgres, which
from lab.servers import free_ports
from tests.rendering import Machine, RenderedProject, shared_folder_for

# Each database with a different way to verify tokens.
COMBINATIONS = {"sqlite": "shared-secret", "postgresql": "jwks"}

numbers = count(1)


@dataclass
class Deployment:
    """A project's two images, their settings, and the running containers."""

    project: RenderedProject
    api_image: Image
    frontend_image: Image
    api_port: int
    frontend_port: int
    database_url: str | None
    volumes: tuple[str, str]
    running: dict[str, Container] = field(default_factory=dict)

    @property
    def api_url(self) -> str:
        return f"http://localhost:{self.api_port}"

    @property
    def frontend_url(self) -> str:
        return f"http://localhost:{self.frontend_port}"

    @property
    def settings(self) -> dict[str, str]:
        """The addresses and the secret, for both images."""
        return {
            "BETTER_AUTH_SECRET": self.project.secret,
            "BETTER_AUTH_URL": self.frontend_url,
            "JWT_AUDIENCE": self.api_url,
        } | ({"DATABASE_URL": self.database_url} if self.database_url else {})

    def listed(self) -> dict[str, str]:
        """Only the variables that docs/deploying.md lists for the frontend's image."""
        page = (self.project.path / "docs/deploying.md").read_text()
        table = page.partition("| the frontend needs |")[2].partition("\n\n")[0]
        rows = [row.split("|")[1] for row in table.splitlines() if row]
        names = [name for row in rows for name in re.findall("`([A-Z_]+)`", row)]
        assert names
        return {name: self.settings[name] for name in names}

    def start_api(self, **settings: str) -> Container:
        api = self.settings | {"PORT": str(self.api_port), "CORS_ORIGINS": self.frontend_url}
        if "jwks" in (self.project.path / ".env.example").read_text():
            del api["BETTER_AUTH_SECRET"]
        self.running["api"] = self.api_image.start(volume=self.volumes[0], **api | settings)
        self.running["api"].wait_until("healthy")
        return self.running["api"]

    def migrate_frontend(self) -> str:
        return self.frontend_image.once(
            "node_modules/.bin/jiti", "scripts/migrate.ts", volume=self.volumes[1], **self.listed()
        )

    def start_frontend(self) -> Container:
        port = {"PORT": str(self.frontend_port)}
        self.running["frontend"] = self.frontend_image.start(
            volume=self.volumes[1], **self.listed() | port
        )
        self.running["frontend"].wait_until("healthy")
        return self.running["frontend"]

    def user(self) -> User:
        return User("Ann", self.frontend_url, self.api_url).sign_up()


@pytest.fixture(scope="session")
def shared_folder() -> Iterator[Path]:
    postgres = "" if which("postgres") else "missing: postgres (apt-get install postgresql)"
    with shared_folder_for("containers", missing() or postgres) as folder:
        yield folder


@pytest.fixture(scope="session")
def engine(shared_folder: Path) -> Iterator[Engine]:
    folder = shared_folder / "engine"
    folder.mkdir()
    engine = Engine(folder)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def postgres(shared_folder: Path) -> Iterator[Postgres]:
    folder = shared_folder / "postgres"
    folder.mkdir()
    server = Postgres(folder)
    server.start()
    server.role(USER)
    yield server
    server.stop()


@pytest.fixture(scope="session", params=COMBINATIONS)
def database(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def built(
    database: str, shared_folder: Path, engine: Engine, request: pytest.FixtureRequest
) -> Deployment:
    """The images, before any container is started."""
    folder = shared_folder / database
    folder.mkdir()
    project = Machine(folder).render(database=database, token_verification=COMBINATIONS[database])
    api_port, frontend_port = free_ports(2)
    url = None
    if database == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        url = server.url(server.database("containers"))
    return Deployment(
        project,
        engine.build(project.path, f"{database}-api"),
        engine.build(
            project.path / "frontend",
            f"{database}-frontend",
            NEXT_PUBLIC_API_URL=f"http://localhost:{api_port}",
        ),
        api_port,
        frontend_port,
        url,
        ("", "") if url else ("tasks", "auth"),
    )


@pytest.fixture(scope="session")
def deployment(built: Deployment) -> Iterator[Deployment]:
    """The service and the frontend, both running."""
    built.migrate_frontend()
    built.start_api()
    built.start_frontend()
    yield built
    for container in built.running.values():
        container.remove()
