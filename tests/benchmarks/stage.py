"""What stands while it is measured: a rendered project, its database, its signer, its servers."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from conftest import Machine, RenderedProject, clean_environment
from faults.client import TASKS, Answer, calling
from faults.databases import PostgresServer, SqliteFile
from faults.issuer import AUDIENCE, URL, Issuer, KeySet, SharedSecret
from servers import Server, free_ports, wait_until

HERE = Path(__file__).parent
USERS, TASKS_EACH = 50, 40  # of which a page shows 20
PYTHON = ".venv/bin/python"
UVICORN = "-m uvicorn --host 127.0.0.1 --port {port} --no-access-log --no-server-header"
OURS = "--factory app.main:create_app"

SUBJECTS = {
    "limit": f"{PYTHON} {UVICORN} --http h11 limit:app",
    "ours": f"{PYTHON} {UVICORN} --http h11 {OURS}",
    "orm": f"{PYTHON} {UVICORN} --http h11 orm:app",
}
"""What is measured, and the command that serves it: with the server of `python -m app`."""


class Cores(NamedTuple):
    measured: int
    others: list[int]


@cache
def cores() -> Cores:
    """One for the server that is measured, and those for all else: the same where it is alone."""
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
    """One server process on a core of its own; what it logs goes to a file."""

    def __init__(self, stage: "Stage", name: str, start: str) -> None:
        [self.port] = free_ports(1)
        self._stage = stage
        command = f"taskset --cpu-list {cores().measured} {start.format(port=self.port)}"
        super().__init__(
            command,
            stage.path,
            lambda: self.ask("GET", TASKS).is_good,
            environment=stage.environment | {"PYTHONPATH": str(HERE)},
            log=stage.folder / f"{name}.log",
        )

    def ask(self, method: str, path: str, body: object = None) -> Answer:
        """By a connection of its own, of the first user."""
        with calling(self.port, self._stage.token("user-0")) as client:
            return client.call(method, path, body)

    def wait(self) -> None:
        """As soon as it can be told: the time until then is measured."""
        wait_until(self._is_ready, 30, self.printed, every=0.001)


class Stage:
    """A rendered project with a database full of tasks."""

    def __init__(
        self, project: RenderedProject, database_url: str, issuer: Issuer, folder: Path
    ) -> None:
        self.path = project.path
        self.folder = folder
        self.token = issuer.token
        self.environment = {
            **issuer.settings,
            "DATABASE_URL": database_url,
            "BETTER_AUTH_URL": URL,
            "JWT_AUDIENCE": AUDIENCE,
            "JWKS_COOLDOWN_SECONDS": "",  # those by default
            "JWKS_TTL_SECONDS": "",
            "DRAIN_SECONDS": "0",
            # Where bytecode is switched off, a start would take some seconds more.
            "PYTHONDONTWRITEBYTECODE": "",
        }
        self.tokens = folder / "tokens"
        users = [*(f"user-{number}" for number in range(USERS)), "leaver"]
        self.tokens.write_text("".join(f"{self.token(user)}\n" for user in users))

    def run(self, *arguments: str | Path | int) -> str:
        """What Python prints in the project."""
        done = subprocess.run(
            [PYTHON, *map(str, arguments)],
            cwd=self.path,
            env=clean_environment() | self.environment | {"PYTHONPATH": "."},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def versions(self, packages: Sequence[str]) -> dict[str, str]:
        """Those of Python, SQLite and the packages that are there."""
        code = """
import importlib.metadata, json, platform, sqlite3, sys
found = {each.name.lower(): each.version for each in importlib.metadata.distributions()}
given = {name: found[name] for name in sys.argv[1:] if name in found}
own = {"Python": platform.python_version(), "SQLite": sqlite3.sqlite_version}
print(json.dumps(own | given))
"""
        return json.loads(self.run("-c", code, *packages))

    def fill(self, blocks: int = 0, rows: int = 0) -> None:
        """Make the tables and the tasks of all users; `blocks` times `rows` are there to delete."""
        self.run("-m", "alembic", "upgrade", "head")
        self.run(HERE / "seed.py", USERS, TASKS_EACH, blocks, rows)

    @contextmanager
    def serving(self, subjects: Mapping[str, str]) -> Iterator[dict[str, Service]]:
        """All of them at once, ready, by name; they are idle unless they are asked."""
        with ExitStack() as stack:
            services = {}
            for name, start in subjects.items():
                services[name] = Service(self, name, start)
                stack.callback(services[name].stop)
                services[name].start()
            yield services


@contextmanager
def stage(machine: Machine, combination: Combination) -> Iterator[Stage]:
    """A project of its own, and a database and a signer that are gone when the block ends."""
    slug = f"{combination.database}-{combination.verification}"
    project = machine.render(
        project_slug=slug,
        database=combination.database,
        token_verification=combination.verification,
        frontend="none",
    )
    project.run("make .venv/ready")
    folder = machine.root / slug
    folder.mkdir()
    with ExitStack() as stack:
        if combination.database == "sqlite":
            url = SqliteFile(folder).url
        else:
            server = PostgresServer(project, folder)
            stack.callback(server.stop)
            server.start()
            url = stack.enter_context(server.database()).url
        issuer = SharedSecret() if combination.verification == "shared-secret" else KeySet()
        if isinstance(issuer, KeySet):
            stack.callback(issuer.close)
        yield Stage(project, url, issuer, folder)


def same_body(services: Mapping[str, Service], path: str) -> bytes:
    """What all answer. Raises AssertionError unless it is good and the same, byte for byte."""
    answers = {name: service.ask("GET", path) for name, service in services.items()}
    said = "\n".join(f"{name}: {each.status} {each.body[:300]!r}" for name, each in answers.items())
    bodies = {each.body for each in answers.values() if each.is_good}
    are_the_same = len(bodies) == 1 and all(each.is_good for each in answers.values())
    assert are_the_same, f"not the same answers:\n{said}"
    return bodies.pop()
