"""The service as deployed, `python -m app`, with the database servers that providers run."""

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack

from lab.faults.client import READY, codes
from lab.faults.service import Service
from lab.providers.conftest import NewFolder
from lab.providers.servers import (
    PgBouncer,
    Postgres,
)  # fmt: skip
from lab.servers import free_ports
from tests.rendering import RenderedProject, clean_environment

Serving = Callable[..., AbstractContextManager[Service]]
Migrated = Callable[[str], str]

LIMITED = "rows_only"


def test_service_with_tls_url_migrates_and_serves(serving: Serving, tls_server: Postgres) -> None:
    parameters = {
        "sslmode": "verify-full",
        "sslrootcert": tls_server.root,
        "channel_binding": "require",
        "application_name": "tasks of ann",
        "connect_timeout": 2,
        "keepalives": 1,
    }
    database = tls_server.database("with_tls")
    with serving(tls_server.url(database, parameters)) as service:
        created = service.creating(3)
        used = tls_server.sql(
            "SELECT DISTINCT ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) "
            "WHERE application_name = 'tasks of ann'"
        )

    assert codes(created) == {201}
    assert used == "t"


def test_service_behind_pgbouncer_with_tls_url_serves(
    serving: Serving, tls_server: Postgres, new_folder: NewFolder
) -> None:
    parameters = {
        "sslmode": "verify-ca",
        "sslrootcert": tls_server.root,
        "application_name": "tasks",
        "pgbouncer": "true",
    }
    with ExitStack() as stack:
        pgbouncer = PgBouncer(new_folder("pgbouncer"), tls_server)
        stack.callback(pgbouncer.stop)
        pgbouncer.start()
        database = tls_server.database("pooled")
        url = tls_server.url(database, parameters, host="127.0.0.1", port=pgbouncer.port)
        service = stack.enter_context(serving(url))
        created = service.creating(20)
        listed = service.listing(20)

    assert codes(created) == {201}
    assert codes(listed) == {200}
    log = pgbouncer.printed()
    assert "login attempt" in log
    assert "unsupported startup parameter" not in log
    assert "prepared statement" not in log


def test_role_with_row_privileges_only_serves_and_missing_ones_are_logged(
    serving: Serving, migrated: Migrated, tls_server: Postgres
) -> None:
    database = tls_server.database("limited")
    migrated(tls_server.url(database))
    tls_server.role(LIMITED)
    tls_server.sql(
        f"GRANT SELECT ON alembic_version TO {LIMITED}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON tasks, idempotency_keys TO {LIMITED}",
        database=database,
    )
    with serving(tls_server.url(database, user=LIMITED)) as service, service.client() as ann:
        created = ann.create()
        changed = ann.call("PATCH", created.headers["location"], {"completed": True})
        deleted = ann.call("DELETE", created.headers["location"])
        erased = ann.call("DELETE", "/api/v1/me")

        tls_server.sql(f"REVOKE INSERT, DELETE ON tasks FROM {LIMITED}", database=database)
        without_insert = ann.get(READY), ann.create()
        tls_server.sql(f"REVOKE SELECT ON tasks FROM {LIMITED}", database=database)
        without_select = ann.get(READY)
        tls_server.sql("REVOKE USAGE ON SCHEMA public FROM PUBLIC", database=database)
        without_usage = ann.get(READY)
        tls_server.sql("GRANT USAGE ON SCHEMA public TO PUBLIC", database=database)
        tls_server.sql(f"GRANT ALL ON tasks TO {LIMITED}", database=database)
        again = ann.get(READY)

    answers = [created, changed, deleted, erased]
    assert [answer.status for answer in answers] == [201, 200, 204, 204]
    assert codes(without_insert) == {503}
    assert codes([without_select, without_usage]) == {503}
    assert again.status == 200
    assert "database: the role lacks INSERT on tasks, DELETE on tasks" in service.printed()
    assert "database: the role lacks SELECT on tasks, INSERT on tasks" in service.printed()
    assert "database: the role lacks USAGE on a schema of search_path" in service.printed()


def start(project: RenderedProject, url: str, command: str = "app") -> tuple[int, list[str]]:
    """Run a command that is expected to end; return its exit code and its output lines."""
    [port] = free_ports(1)
    done = subprocess.run(
        [".venv/bin/python", "-m", *command.split()],
        cwd=project.path,
        env=clean_environment() | {"DATABASE_URL": url, "PORT": str(port)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout.splitlines()


def test_migration_without_privilege_stops_the_start_with_one_line(
    project: RenderedProject, migrated: Migrated, tls_server: Postgres
) -> None:
    nothing = tls_server.database("nothing", owner="postgres")
    unreadable = tls_server.database("unreadable")
    migrated(tls_server.url(unreadable))
    tls_server.role("stranger")
    no_usage = tls_server.database("no_usage", owner="postgres")
    tls_server.sql("REVOKE ALL ON SCHEMA public FROM PUBLIC", database=no_usage)
    expected = {
        tls_server.url(nothing): "the role lacks CREATE: permission denied for schema public",
        tls_server.url(unreadable, user="stranger"): (
            "the role lacks SELECT: permission denied for table alembic_version"
        ),
        tls_server.url(no_usage, user="stranger"): "the role lacks USAGE: no schema",
    }

    with ThreadPoolExecutor(3) as pool:
        ended = list(pool.map(lambda url: start(project, url), expected))

    for (code, lines), reason in zip(ended, expected.values(), strict=True):
        assert code not in (0, 75)
        assert len(lines) == 1, lines
        assert lines[0].startswith(f"Cannot migrate: {reason}")


def test_unsupported_url_stops_the_start_with_one_line(project: RenderedProject) -> None:
    secret = "hunter2"
    url = f"postgresql://service:{secret}@localhost/tasks"
    expected = {
        f"{url}?sslrootcert=missing.crt&sslmode=verify-full": "the file of sslrootcert",
        f"{url}?connection_limit=5": "the parameter connection_limit",
        f"postgresql://service:{secret}@2#x@localhost/tasks": "write space, @,",
    }

    commands = ("app", "alembic upgrade head")
    with ThreadPoolExecutor(3) as pool:
        starting = [
            pool.submit(start, project, each, command) for each in expected for command in commands
        ]
        ended = [each.result() for each in starting]

    reasons = [reason for reason in expected.values() for _ in commands]
    for (code, lines), reason in zip(ended, reasons, strict=True):
        assert code != 0
        assert len(lines) == 1, lines
        assert lines[0].startswith("DATABASE_URL: ")
        assert reason in lines[0]
        assert secret not in lines[0]
