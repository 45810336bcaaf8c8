"""Errors of migrations are reported in one line and leave the database unchanged."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lab.servers import free_ports
from tests.rendering import Machine, RenderedProject, clean_environment

# The variable FAILS selects how the migration fails, so its file does not change. It prints a line
# after its first statement.
MIGRATION = """
import os, time
from alembic import op

revision = "{revision}"
down_revision = "{after}"


def upgrade() -> None:
    op.execute("CREATE TABLE {revision} (id INTEGER)")
    print("half", flush=True)
    match os.environ.get("FAILS"):
        case "slowly":
            time.sleep(1)
            raise RuntimeError("on purpose")
        case "never ends":
            for _ in range(600):
                op.execute("SELECT 1")  # Ctrl-C takes effect at a statement
                time.sleep(0.1)
        case "disconnected":
            op.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def downgrade() -> None:
    op.execute("DROP TABLE {revision}")
"""
SQL = """
import asyncio, sys
from sqlalchemy import text
from tests.engines import engine_for

async def main(url, *statements):
    engine = engine_for(url)
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()

asyncio.run(main(*sys.argv[1:]))
"""


@dataclass(frozen=True)
class Service:
    """A project with installed dependencies, and its database."""

    project: RenderedProject
    url: str
    revisions: list[str]

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self.project.path,
            env=clean_environment() | {"DATABASE_URL": self.url} | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Workers of pytest-xdist may ignore SIGINT.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def run(self, *command: str, **environment: str) -> tuple[int, str]:
        """Return the status of a command and what it prints, without logs and make's own line."""
        process = self.start(*command, **environment)
        printed = "".join(process.communicate(timeout=60))
        lines = [line for line in printed.splitlines() if not line.startswith(("{", "make: ***"))]
        return process.returncode, "\n".join(lines)

    def migrate(self, **environment: str) -> tuple[int, str]:
        return self.run(".venv/bin/alembic", "upgrade", "head", **environment)

    def started(self, fails: str) -> subprocess.Popen[str]:
        """Start a migration, and return when its first statement has run."""
        process = self.start(".venv/bin/alembic", "upgrade", "head", FAILS=fails)
        assert process.stdout.readline() == "half\n"
        return process

    def add(self, revision: str) -> None:
        after = self.revisions[-1]
        file = self.project.path / f"migrations/versions/{revision}.py"
        file.write_text(MIGRATION.format(revision=revision, after=after))
        self.revisions.append(revision)

    def sql(self, *statements: str, url: str = "") -> None:
        command = (".venv/bin/python", "-c", SQL, url or self.url, *statements)
        assert self.run(*command, PYTHONPATH=".") == (0, "")


@contextmanager
def running(project: RenderedProject, database: str) -> Iterator[str]:
    if database == "sqlite":
        yield "sqlite:///tasks.db"
        return
    [port] = free_ports(1)
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    command = [".venv/bin/python", "-m", "scripts.postgres"]
    with subprocess.Popen(
        [*command, "sh", "-c", "echo ready; read end"],
        cwd=project.path,
        env=clean_environment() | {"DATABASE_URL": url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout.readline() == "ready\n"
        yield url
        server.communicate("end\n", timeout=30)


DATABASES = [
    # One worker for each database, because its tests share a project.
    pytest.param(name, marks=pytest.mark.xdist_group(f"migrations on {name}"))
    for name in ("sqlite", "postgresql")
]


@pytest.fixture(scope="module", params=DATABASES)
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    with TemporaryDirectory(prefix="migrations-") as folder:
        project = Machine(Path(folder)).render(database=request.param, frontend="none")
        project.run("make .venv/ready")
        with running(project, request.param) as url:
            service = Service(project, url, ["0002"])
            assert service.migrate() == (0, "")
            yield service


def test_interrupted_migration_changes_nothing(service: Service) -> None:
    service.add("interrupted")
    ended = []

    # Each run creates the table, which fails if an interrupted run has left it.
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
        process = service.started("never ends")
        process.send_signal(number)
        printed = "".join(process.communicate(timeout=30))
        ended.append((process.returncode, printed))
    done = service.migrate()

    assert ended == [(-signal.SIGTERM, ""), (-signal.SIGKILL, ""), (128 + signal.SIGINT, "")]
    assert done == (0, "half")


def test_migration_that_loses_its_connection_changes_nothing(service: Service) -> None:
    if service.url.startswith("sqlite"):
        return  # there is no connection to lose
    service.add("disconnected")

    lost = service.migrate(FAILS="disconnected")
    done = service.migrate()

    assert lost == (75, "half")
    assert done == (0, "half")


def test_other_concurrent_migrations_succeed_if_one_fails(service: Service) -> None:
    service.add("shared")

    failing = service.started("slowly")
    others = [service.start(".venv/bin/alembic", "upgrade", "head") for _ in range(2)]
    printed = "".join(failing.communicate(timeout=60))
    rest = ["".join(other.communicate(timeout=60)) for other in others]

    assert failing.returncode == 1
    assert printed == (
        "Cannot migrate: migrations/versions/shared.py, line 15: RuntimeError: on purpose. "
        "Correct it, then migrate again.\n"
    )
    assert [other.returncode for other in others] == [0, 0]
    assert "".join(rest).count("migrated to") == 1


@pytest.mark.parametrize("command", [("make", "migrate"), ("make", "run")])
def test_model_that_cannot_be_imported_is_named_in_one_line(
    service: Service, command: tuple[str, ...]
) -> None:
    model = service.project.path / "app/models/task.py"
    text = model.read_text()
    model.write_text(f"import nothing\n{text}")
    try:
        ended = service.run(*command, PORT=str(free_ports(1)[0]))
    finally:
        model.write_text(text)

    assert ended[0] != 0
    assert ended[1] == (
        "Cannot migrate: app/models/task.py, line 1 cannot be loaded: ModuleNotFoundError: "
        "No module named 'nothing'. Correct it, then try again."
    )


def test_unknown_revision_is_reported_in_one_line(service: Service) -> None:
    change = "UPDATE alembic_version SET version_num = '{}'"
    service.sql(change.format("later"))
    try:
        status, printed = service.run("make", "migration", "NAME=x")
    finally:
        service.sql(change.format(service.revisions[-1]))

    assert status != 0
    assert printed == (
        "Cannot migrate: the database is at revision later, which no file in migrations/versions "
        "has. Use the version of the service that has this revision, or restore its file."
    )


@pytest.mark.parametrize(
    "name", ["-x", 'it\'s "5 %" of $HOME $(shell pwd) ${x} \\d\n{a} `id` 🎉 $(' + 500 * "x"]
)
def test_migration_with_any_name_follows_the_newest_one(service: Service, name: str) -> None:
    service.add(f"change_{len(service.revisions)}")  # its table has no model, which is a change
    folder = service.project.path / "migrations/versions"
    before = {*folder.glob("*.py")}

    ended = service.run("make", "migration", f"NAME={name}")

    assert ended[0] == 0, ended[1]
    [made] = {*folder.glob("*.py")} - before
    text = made.read_text()
    words = " ".join(name.replace("\\", "/").replace('"', "'").split())
    assert text.startswith(f'"""{words}"""\n')
    assert f'down_revision = "{service.revisions[-1]}"' in text
    service.revisions.append(text.partition('\nrevision = "')[2].partition('"')[0])


# TEST_DATABASE_URL

RESERVE = """
import sys
from app.errors import Unavailable
from tests.database import reserved_database

for url in sys.argv[1:]:
    try:
        with reserved_database(url):
            print("accepted")
    except (ValueError, Unavailable) as error:
        print(getattr(error, "reason", None) or error)
"""


def suite(service: Service, url: str) -> tuple[int, str]:
    """Run a few of the project's tests on a database."""
    tests = ("-q", "-k", "upgrades_down or agree", "tests/test_migrations.py")
    return service.run(".venv/bin/python", "-m", "pytest", *tests, TEST_DATABASE_URL=url)


@pytest.fixture(scope="module")
def databases(service: Service, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The URLs of empty databases."""
    names = ("empty", "taken", "view", "other", "last")
    if service.url.startswith("sqlite"):
        folder = tmp_path_factory.mktemp("databases")
        return [f"sqlite:///{folder}/{name}.db" for name in names]
    service.sql(*(f"CREATE SCHEMA tests_{name}" for name in names))
    return [f"{service.url}?options=-csearch_path%3Dtests_{name}" for name in names]


def test_suite_runs_only_on_empty_or_marked_databases(
    service: Service, databases: list[str]
) -> None:
    empty, taken, view, other, last = databases
    service.sql("CREATE TABLE notes (id INTEGER)", url=taken)
    service.sql("CREATE VIEW notes AS SELECT 1 AS id", url=view)
    more, reasons = [], []
    if service.url.startswith("postgresql"):
        service.sql("CREATE SEQUENCE numbers", url=other)
        service.sql("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", url=last)
        unreachable = "postgresql://postgres@127.0.0.1:1/postgres"
        schema = f"{service.url}?options=-csearch_path%3Dmissing"
        more = [other, last, unreachable, schema, f"{service.url}?application_name=x"]
        reasons = [
            "the database has the sequence numbers",
            "the database has the function f",
            "database: ConnectionError",
            "the role can use no schema",
            "the database has the table alembic_",
        ]
    else:
        file = Path(other.removeprefix("sqlite:///"))
        file.write_text("This is no database.")
        more, reasons = (
            [other, "sqlite:///tasks.db"],
            ["database: DatabaseError", "the database has"],
        )

    rejected = suite(service, taken)
    status, output = suite(service, empty)
    _, printed = service.run(".venv/bin/python", "-c", RESERVE, empty, taken, view, *more)

    assert rejected == (
        4,
        "ERROR: TEST_DATABASE_URL: the database has the table notes, which is not from an earlier "
        "run of the tests. The tests delete everything. Name an empty database\n",
    )
    assert status == 0, output
    expected = ["accepted", "the database has the table notes", "the database has the view notes"]
    for line, start in zip(printed.splitlines(), [*expected, *reasons], strict=True):
        assert line.startswith(start)


def test_second_run_on_one_database_is_rejected_until_the_first_ends(
    service: Service, databases: list[str]
) -> None:
    code = RESERVE.replace('print("accepted")', 'print("accepted", flush=True); input()')
    first = subprocess.Popen(
        [".venv/bin/python", "-c", code, databases[0]],
        cwd=service.project.path,
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with first:
        assert first.stdout.readline() == "accepted\n"
        _, second = service.run(".venv/bin/python", "-c", RESERVE, databases[0])
        os.kill(first.pid, signal.SIGKILL)
    _, after = service.run(".venv/bin/python", "-c", RESERVE, databases[0])

    assert second == "another run of the tests uses the database. Wait until it ends"
    assert after == "accepted"
