"""A running project: the service, Better Auth and a database."""

import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from lab.e2e.applications import Application
from lab.e2e.project_factory import ProjectFactory
from lab.e2e.users import PASSWORD, User
from lab.scaling.machines import StrippingNginx
from lab.servers import Server, answers, free_ports
from tests.rendering import RenderedProject, clean_environment

# The main ones. Browser tests use the first two; the first one's keys are rotated. The second one's
# API is behind a proxy, under a prefix that its own paths begin with, too.
PREFIX = "/api"
COMBINATIONS = (
    ("postgresql", "jwks", "production"),
    ("sqlite", "shared-secret", "development"),
    ("sqlite", "jwks", "development"),
    ("postgresql", "shared-secret", "development"),
)


def replace(path: Path, *replacements: tuple[str, str]) -> None:
    """Replace texts in a file, each of which must be there."""
    text = path.read_text()
    for old, new in replacements:
        assert old in text, f"{path.name} has no {old}"
        text = text.replace(old, new)
    path.write_text(text)


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Stack:
    """The servers of one project, on separate ports."""

    def __init__(
        self,
        project: RenderedProject,
        *,
        production: bool,
        prefixed: bool,
        environment: Mapping[str, str],
    ) -> None:
        site, api = free_ports(2)
        for file in (".env", "frontend/.env.local"):
            replace(project.path / file, (":3000", f":{site}"), (":8000", f":{api}"))
        self.project = project
        self.frontend = project.path / "frontend"
        self.site_url, self.api_url = f"http://localhost:{site}", f"http://localhost:{api}"
        self._proxy = (
            StrippingNginx(project.path, project.path.parent, api, PREFIX) if prefixed else None
        )
        if self._proxy:
            with (project.path / ".env").open("a") as settings:
                settings.write(f"ROOT_PATH={PREFIX}\n")
            public = f"NEXT_PUBLIC_API_URL={self.api_url}\n"
            self.api_url = self._proxy.url
            replace(self.frontend / ".env.local", (public, f"NEXT_PUBLIC_API_URL={self.api_url}\n"))
        if "BETTER_AUTH_SECRET" not in project.settings(".env"):
            # Short, since a test that rotates keys would have to wait for it.
            with (project.path / ".env").open("a") as settings:
                settings.write("JWKS_COOLDOWN_SECONDS=0.2\n")
        self._people = ExitStack()
        self.production = production
        # Variables that other tools set. A wrong NODE_ENV is the most common.
        self.foreign = {
            "NODE_ENV": "development" if production else "production",
            "HOST": "unknown.invalid",
            "HOSTNAME": "unknown.invalid",
            "PORT": "1",
            "NAME": "WSL",
            "VIRTUAL_ENV": "/nonexistent",
            "PGHOST": "unknown.invalid",
            "PGOPTIONS": "-c search_path=x",
            "PGSSLMODE": "verify-full",
            "PGUSER": "nobody",
        }
        self._database = None
        database = urlsplit(project.settings(".env")["DATABASE_URL"])
        if database.scheme == "postgresql":
            # `make run` would start it too, and stop it with the service: Better Auth needs it.
            self._database = Server(
                ".venv/bin/python -m scripts.postgres sleep infinity",
                project.path,
                lambda: accepts(database.port),
            )
        self.service = Server(
            f"make run PORT={api}", project.path, lambda: answers(f"{self.api_url}/health/ready")
        )
        self.site = Server(
            f"npm run {'start' if production else 'dev'} -- --port {site}",
            self.frontend,
            lambda: answers(f"{self.site_url}/api/auth/ok"),
            environment=self.foreign | dict(environment),
        )

    def start(self) -> None:
        if self._database:
            self._database.start()
        self.service.launch()
        if self._proxy:
            self._proxy.launch()
        if self.production:
            RenderedProject(self.frontend).run("npm run build", **self.foreign)
        self.site.launch()
        self.service.wait()
        self.site.wait()

    def stop(self) -> None:
        with ExitStack() as rest:  # Whichever fails, the others are stopped as well.
            if self._database:
                rest.callback(self._database.stop)
            if self._proxy:
                rest.callback(self._proxy.stop)
            rest.callback(self.service.stop)
            rest.callback(self.site.stop)
            rest.callback(self._people.close)

    def log(self) -> str:
        """Return what the frontend has printed."""
        return (self.project.path / "npm.log").read_text()

    @contextmanager
    def program(
        self, *arguments: str | Path, **environment: str
    ) -> Iterator[subprocess.Popen[str]]:
        """Run the project's Python with these arguments until the block ends."""
        with subprocess.Popen(
            [".venv/bin/python", *arguments],
            cwd=self.project.path,
            env=clean_environment() | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def user(self, name: str) -> User:
        """Return a user without an account."""
        return self._people.enter_context(User(name, self.site_url, self.api_url))

    def sign_up(self, name: str) -> User:
        return self.user(name).sign_up()

    def administrator(self) -> User:
        """Return a new user with the role `admin`. Requires the admin plugin and SQLite."""
        user = self.sign_up("Root")
        self.change_auth("UPDATE user SET role = 'admin' WHERE email = ?", user.email)
        user.auth("/sign-in/email", email=user.email, password=PASSWORD)
        return user

    def change_auth(self, statement: str, *values: object) -> None:
        """Change one row in Better Auth's database, which must be SQLite."""
        database = sqlite3.connect(self.frontend / "auth.db", timeout=10)
        with closing(database), database:
            assert database.execute(statement, values).rowcount == 1

    def application(self, owner: User | None = None, **description: Any) -> Application:
        """Register a new client, which is given only the URL of the API."""
        return self._people.enter_context(Application(self.api_url, owner, **description))


@contextmanager
def running(
    factory: ProjectFactory,
    database: str,
    token_verification: str,
    *,
    production: bool = False,
    prefixed: bool = False,
    change: Callable[[RenderedProject], None] = lambda _: None,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Stack]:
    """Run a project with these answers until the block ends; `change` may edit it first.

    `environment` is added to the frontend's environment, after variables that other tools set.

    With `production` the frontend is built; otherwise Next compiles it on demand. With `prefixed`
    the API is served under PREFIX, behind a proxy that strips it.
    """
    project = factory.render(database=database, token_verification=token_verification)
    change(project)
    factory.install(project)
    stack = Stack(project, production=production, prefixed=prefixed, environment=environment)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
