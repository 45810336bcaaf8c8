"""The setup of a measurement: a rendered project, its database, its issuer, and the servers."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from lab.faults.client import TASKS, Response, open_client
from lab.faults.databases import PostgresServer, SqliteFile
from lab.faults.issuer import AUDIENCE, URL, Issuer, KeySet, SharedSecret
from lab.servers import Server, free_ports, wait_until
from tests.rendering import Machine, RenderedProject, clean_environment

HERE = Path(__file__).parent
USERS, TASKS_EACH = 50, 40  # of which a page shows 20
PYTHON = ".venv/bin/python"
UVICORN = "-m uvicorn --host 127.0.0.1 --no-access-log --no-server-header"
# uvicorn chooses the HTTP parser and the event loop by itself, as in a deployment.
OURS = "--factory app.main:create_app"
# With the shared secret only: all of them check tokens as the limit does.
OTHERS = {"starlette": "on_starlette:app", "litestar": "on_litestar:app", "orm": "orm:app"}
# The service brings FastAPI, uvicorn and uvloop.
BY_HAND_PACKAGES = "aiosqlite asyncpg httptools litestar msgspec sqlalchemy[asyncio] uuid-utils"


class Subject(NamedTuple):
    """A service to measure: the arguments of uvicorn, its Python and its working directory."""

    arguments: str
    python: Path
    folder: Path


class Cores(NamedTuple):
    measured: int
    others: list[int]


@cache
def cores() -> Cores:
    """Return a core for the measured server, and those for all else. A single core is both."""
    first, *others = sorted(os.sched_getaffinity(0))
    return Cores(first, others or [first])


@dataclass(frozen=True)
class Combination:
    database: str
    verification: str

    def __str__(self) -> str:
        databases = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
        tokens = {"shared-secret": "shared secret (HS256)", "jwks": "key set (EdDSA)"}
        return f"{databases[self.database]}, {tokens[self.verification]}"


class Service(Server):
    """One server process, pinned to the measured core. Its output goes to a file."""

    def __init__(self, bench: "Bench", name: str) -> None:
        [self.port] = free_ports(1)
        self._stage = bench
        subject = bench.subjects[name]
        serve = f"{subject.python} {UVICORN} --port {self.port} {subject.arguments}"
        super().__init__(
            f"taskset --cpu-list {cores().measured} {serve}",
            subject.folder,
            lambda: self.ask("GET", TASKS).is_success,
            environment=bench.environment | {"PYTHONPATH": str(HERE)},
            log=bench.folder / f"{name}.log",
        )

    def ask(self, method: str, path: str, body: object = None) -> Response:
        """Send a request of the first user on a new connection."""
        with open_client(self.port, self._stage.token("user-0")) as client:
            return client.call(method, path, body)

    def wait(self) -> None:
        """Return as soon as the service is ready, since the time until then is measured."""
        wait_until(self._is_ready, 30, self.printed, every=0.001)


class Bench:
    """A rendered project with a database full of tasks, and the services that can serve them."""

    def __init__(
        self,
        project: RenderedProject,
        subjects: Mapping[str, Subject],
        database_url: str,
        issuer: Issuer,
        folder: Path,
    ) -> None:
        self.path = project.path
        self.subjects = subjects
        self.folder = folder
        self.token = issuer.token
        self.environment = {
            **issuer.settings,
            "DATABASE_URL": database_url,
            "BETTER_AUTH_URL": URL,
            "JWT_AUDIENCE": AUDIENCE,
            "JWKS_COOLDOWN_SECONDS": "",  # the defaults
            "JWKS_TTL_SECONDS": "",
            "DRAIN_SECONDS": "0",
            # Without bytecode, a start would take some seconds more.
            "PYTHONDONTWRITEBYTECODE": "",
        }
        self.tokens = folder / "tokens"
        users = [*(f"user-{number}" for number in range(USERS)), "leaver"]
        self.tokens.write_text("".join(f"{self.token(user)}\n" for user in users))

    def run(self, *arguments: str | Path | int, python: str | Path = PYTHON) -> str:
        """Return what Python prints in the project."""
        done = subprocess.run(
            [python, *map(str, arguments)],
            cwd=self.path,
            env=clean_environment() | self.environment | {"PYTHONPATH": "."},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def versions(self, packages: Sequence[str]) -> dict[str, str]:
        """Return the versions of Python, SQLite and those of the packages that are installed."""
        code = """
import importlib.metadata, json, platform, sqlite3, sys
found = {each.name.lower(): each.version for each in importlib.metadata.distributions()}
given = {name: found[name] for name in sys.argv[1:] if name in found}
own = {"Python": platform.python_version(), "SQLite": sqlite3.sqlite_version}
print(json.dumps(own | given))
"""
        pythons = (PYTHON, self.subjects["limit"].python)
        found = [json.loads(self.run("-c", code, *packages, python=each)) for each in pythons]
        return found[0] | found[1]

    def fill(self, blocks: int = 0, rows: int = 0) -> None:
        """Create the tables, the tasks of all users, and `blocks` times `rows` tasks to delete."""
        self.run("-m", "alembic", "upgrade", "head")
        self.run(HERE / "seed.py", USERS, TASKS_EACH, blocks, rows)

    @contextmanager
    def serving(self, names: Iterable[str]) -> Iterator[dict[str, Service]]:
        """Run these services side by side. They are ready, and idle until they get requests."""
        with ExitStack() as stack:
            services = {}
            for name in names:
                services[name] = Service(self, name)
                stack.callback(services[name].stop)
                services[name].start()
            yield services


def deployment(project: RenderedProject, folder: Path, more: str = "") -> Path:
    """Return the Python of a new environment: what a deployment installs, and `more`.

    Not the project's `.venv`, whose development tools bring Rich, which structlog imports.
    """
    uv, python, locked = '"${UV:-uv}"', folder / "bin/python", f"{folder}.txt"
    project.run(
        f"{uv} export --quiet --no-dev --no-hashes --output-file {locked}"
        f" && {uv} venv --quiet --python {sys.executable} {folder}"
        f" && {uv} pip install --quiet --python {python} --requirements {locked} {more}"
    )
    return python


@contextmanager
def bench(
    machine: Machine, combination: Combination, before: Path | None = None
) -> Iterator[Bench]:
    """Yield a new project, database and issuer, which last as long as the block.

    `before` is another template: its service becomes a subject, too.
    """
    answers = {
        "database": combination.database,
        "token_verification": combination.verification,
        "frontend": "none",
    }
    slug = f"{combination.database}-{combination.verification}"
    folder = machine.root / slug
    folder.mkdir()
    project = machine.render(project_slug=slug, **answers)
    project.run("make .venv/ready")
    by_hand = deployment(project, folder / "by-hand", BY_HAND_PACKAGES)
    subjects = {
        "limit": Subject("limit:app", by_hand, project.path),
        "ours": Subject(OURS, deployment(project, folder / "ours"), project.path),
    }
    if before:
        old = machine.render(template=before, project_slug=f"{slug}-before", **answers)
        subjects["before"] = Subject(OURS, deployment(old, folder / "before"), old.path)
    if combination.verification == "shared-secret":
        subjects |= {
            name: Subject(application, by_hand, project.path)
            for name, application in OTHERS.items()
        }
    with ExitStack() as stack:
        if combination.database == "sqlite":
            url = SqliteFile(folder).url
        else:
            server = PostgresServer(project, folder, connections=100)
            stack.callback(server.stop)
            server.start()
            url = stack.enter_context(server.database()).url
        issuer = SharedSecret() if combination.verification == "shared-secret" else KeySet()
        if isinstance(issuer, KeySet):
            stack.callback(issuer.close)
        yield Bench(project, subjects, url, issuer, folder)


def same_body(services: Mapping[str, Service], path: str) -> bytes:
    """Return the body that all services respond with.

    Raises AssertionError unless all succeed with the same bytes.
    """
    answers = {name: service.ask("GET", path) for name, service in services.items()}
    said = "\n".join(f"{name}: {each.status} {each.body[:300]!r}" for name, each in answers.items())
    bodies = {each.body for each in answers.values() if each.is_success}
    are_the_same = len(bodies) == 1 and all(each.is_success for each in answers.values())
    assert are_the_same, f"the responses differ:\n{said}"
    return bodies.pop()
