"""Two instances of the service between one nginx and one PgBouncer."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.faults.client import open_client
from lab.faults.conftest import Figures
from lab.faults.databases import PostgresDatabase
from lab.faults.issuer import KeySet
from lab.faults.service import Service
from lab.scaling.machines import SERVERS, Nginx, PgBouncer
from lab.scaling.users import User, using
from tests.rendering import RenderedProject

PEOPLE = 12
SECONDS = 10
DRAIN = 1


@dataclass
class Site:
    services: list[Service]
    nginx: Nginx
    logs: list[Path]


@pytest.fixture
def site(
    shared_folder: Path, project: RenderedProject, issuer: KeySet, pgbouncer: PgBouncer
) -> Iterator[Site]:
    """Start everything. Both services migrate concurrently, through PgBouncer."""
    folder = pgbouncer.log.parent / "nginx"
    folder.mkdir()
    logs = [folder.parent / f"service-{number}.log" for number in (1, 2)]
    settings = {"DATABASE_TRANSACTION_POOLING": "true", "DRAIN_SECONDS": str(DRAIN)}
    with ExitStack() as stack:
        services = [Service(project.path, issuer, pgbouncer, settings, log=log) for log in logs]
        for service in services:
            stack.callback(service.stop)
            service.launch()
        for service in services:
            service.wait()
        document = project.path / "docs" / "scaling.md"
        nginx = Nginx(folder, document, [service.port for service in services])
        stack.callback(nginx.stop)
        nginx.start()
        postgres_log = shared_folder / "postgres" / "postgres.log"
        yield Site(services, nginx, [*logs, pgbouncer.log, postgres_log, nginx.log])


@pytest.fixture
def users(site: Site, issuer: KeySet) -> Iterator[list[User]]:
    with ExitStack() as clients:
        yield [
            User(name, clients.enter_context(open_client(site.nginx.port, issuer.token(name))))
            for name in (f"user {number}" for number in range(PEOPLE))
        ]


def assert_each_has_what_was_acknowledged(users: list[User], database: PostgresDatabase) -> None:
    for user in users:
        stored = sorted(user.all_tasks(), key=lambda task: task["id"])
        assert stored == [user.tasks[id] for id in sorted(user.tasks)]
    with database.session() as session:
        rows = int(session.run("SELECT count(*) FROM tasks"))
    assert rows == sum(len(user.tasks) for user in users)


def test_two_machines_work_behind_one_address(
    site: Site, users: list[User], database: PostgresDatabase, figures: Figures
) -> None:
    with using(users):
        time.sleep(SECONDS)
        with database.session() as session:
            servers = session.run(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name <> 'psql'"
            )

    shares = [log.read_text().count('"route":"/api') for log in site.logs[:2]]
    figures(requests=sum(len(user.answers) for user in users), shares=shares)
    assert [surprise for user in users for surprise in user.surprises] == []
    assert_each_has_what_was_acknowledged(users, database)
    assert min(shares) > sum(shares) / 4
    assert 0 < int(servers) <= SERVERS
    for log in site.logs:
        assert "prepared statement" not in log.read_text()


def test_rolling_release_fails_no_request(
    site: Site, users: list[User], database: PostgresDatabase, figures: Figures
) -> None:
    for user in users:
        # When it reloads, nginx closes idle connections.
        user.keeps_connection = False

    with using(users):
        time.sleep(1)
        for service in site.services:
            site.nginx.leave_out(service.port)
            service.terminate()
            code, _ = service.ended(within=DRAIN + 10)
            assert code == 0
            service.start()
            site.nginx.leave_out()
            time.sleep(1)

    figures(requests=sum(len(user.answers) for user in users))
    assert [surprise for user in users for surprise in user.surprises] == []
    assert_each_has_what_was_acknowledged(users, database)
