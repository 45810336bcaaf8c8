"""Two machines of the service, one address before them and one PgBouncer behind them."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.faults.client import calling
from lab.faults.conftest import Figures
from lab.faults.databases import PostgresDatabase
from lab.faults.issuer import KeySet
from lab.faults.service import Service
from lab.scaling.machines import SERVERS, Nginx, PgBouncer
from lab.scaling.people import Person, using
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
    workshop: Path, project: RenderedProject, issuer: KeySet, pgbouncer: PgBouncer
) -> Iterator[Site]:
    """Ready to be used; both services migrate, at the same time and through PgBouncer."""
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
        postgres_log = workshop / "postgres" / "postgres.log"
        yield Site(services, nginx, [*logs, pgbouncer.log, postgres_log, nginx.log])


@pytest.fixture
def people(site: Site, issuer: KeySet) -> Iterator[list[Person]]:
    with ExitStack() as clients:
        yield [
            Person(name, clients.enter_context(calling(site.nginx.port, issuer.token(name))))
            for name in (f"person {number}" for number in range(PEOPLE))
        ]


def assert_each_has_what_was_acknowledged(people: list[Person], database: PostgresDatabase) -> None:
    for person in people:
        stored = sorted(person.all_tasks(), key=lambda task: task["id"])
        assert stored == [person.tasks[id] for id in sorted(person.tasks)]
    with database.session() as session:
        rows = int(session.run("SELECT count(*) FROM tasks"))
    assert rows == sum(len(person.tasks) for person in people)


def test_all_of_it_works_behind_one_address(
    site: Site, people: list[Person], database: PostgresDatabase, figures: Figures
) -> None:
    with using(people):
        time.sleep(SECONDS)
        with database.session() as session:
            servers = session.run(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name <> 'psql'"
            )

    shares = [log.read_text().count('"route":"/api') for log in site.logs[:2]]
    figures(requests=sum(len(person.answers) for person in people), shares=shares)
    assert [surprise for person in people for surprise in person.surprises] == []
    assert_each_has_what_was_acknowledged(people, database)
    assert min(shares) > sum(shares) / 4
    assert 0 < int(servers) <= SERVERS
    for log in site.logs:
        assert "prepared statement" not in log.read_text()


def test_a_release_is_noticed_by_nobody(
    site: Site, people: list[Person], database: PostgresDatabase, figures: Figures
) -> None:
    for person in people:
        # As it reloads, nginx closes the connections that nobody is using.
        person.keeps_connection = False

    with using(people):
        time.sleep(1)
        for service in site.services:
            site.nginx.leave_out(service.port)
            service.terminate()
            code, _ = service.ended(within=DRAIN + 10)
            assert code == 0
            service.start()
            site.nginx.leave_out()
            time.sleep(1)

    figures(requests=sum(len(person.answers) for person in people))
    assert [surprise for person in people for surprise in person.surprises] == []
    assert_each_has_what_was_acknowledged(people, database)
