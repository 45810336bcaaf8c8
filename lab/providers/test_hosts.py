"""The service and the frontend find the primary among several hosts."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import quote

import pytest

from lab.faults.client import READY, codes
from lab.faults.processes import children, frozen
from lab.providers.conftest import Ask, NewFolder, compare, started
from lab.providers.frontends import Frontend, parallel
from lab.providers.servers import (
    HOST,
    PASSWORD,
    USER,
    Authority,
    PgBouncer,
    Postgres,
    Replica,
    hanging,
)
from lab.providers.test_service import Serving, start
from lab.servers import free_ports
from tests.rendering import RenderedProject

POOL_TIMEOUT = 2  # seconds: DATABASE_POOL_TIMEOUT_SECONDS
SERVES = ""
MIGRATED = "0 created, 0 changed"


@contextmanager
def full() -> Iterator[int]:
    """A port that accepts no connections, because its queue is full."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server.getsockname()[1]


@contextmanager
def hung(server: Postgres) -> Iterator[None]:
    """Suspend all of the server's processes, so that its sessions hang too."""
    pid = int((server.data / "postmaster.pid").read_text().split()[0])
    with frozen([pid, *children(pid)]):
        yield


@pytest.fixture(scope="module")
def replica(
    new_folder: NewFolder, plain_server: Postgres, ask: Ask, running: ExitStack
) -> Postgres:
    """A replica of `plain_server`, which has the tables that `ask` needs."""
    replica = started(Replica(new_folder("replica"), plain_server), running)
    replica.catch_up(plain_server)
    return replica


def test_service_and_frontend_find_the_primary_among_hosts_that_fail(
    ask: Ask, frontend: Frontend, plain_server: Postgres, replica: Postgres
) -> None:
    frontend.migrate(plain_server.url("tasks"))
    good, other = f"{HOST}:{plain_server.port}", f"{HOST}:{replica.port}"
    closed, unknown = f"localhost:{free_ports(1)[0]}", "no.such.host.invalid"
    account = f"postgresql://{USER}:{quote(PASSWORD, safe='')}"
    ports = f"{replica.port},{plain_server.port}"
    with hanging() as one, hanging() as two, hanging() as three, full() as busy:
        silent = [f"127.0.0.1:{each.port}" for each in (one, two, three)]
        on_both = [
            (f"{account}@{other},{good}/tasks", SERVES),
            (f"{account}@{','.join(silent)},{good}/tasks", SERVES),
            (f"{account}@{unknown},{closed},{silent[0]},{other},{good}/tasks", SERVES),
            (f"{account}@{other}/tasks", ".*the server is a replica"),
            (f"{account}@{other},{closed}/tasks",
             f"(?=.*{other}: .*a replica)(?=.*{closed}: .*(ECONNREFUSED|ConnectionRefused))"),
            (f"{account}@{silent[0]},{other}/tasks?connect_timeout=1",
             f"(?=.*{other}: .*the server is a replica)(?=.*{silent[0]}: .*time)"),
            (f"{account}x@{good},{other}/tasks", f".*{good}: .*password authentication failed"),
        ]  # fmt: skip
        on_service = [
            (f"{account}@{other},{good}/tasks?target_session_attrs=any", SERVES),
            (f"{account}@{good},{other}/tasks?load_balance_hosts=random", SERVES),
            (f"{account}@/tasks?host={HOST},{HOST}&port={ports}", SERVES),
            (f"{account}@{other},{other},{good}/tasks", SERVES),
            (f"{account}@{silent[0]},{good}/tasks?connect_timeout=9", SERVES),
            (f"{account}@127.0.0.1:{busy},{good}/tasks", SERVES),
        ]

        found, seconds = ask([url for url, _ in on_both + on_service])
        pages = parallel(frontend.migrate, [url for url, _ in on_both])

    compare(on_both + on_service, found)
    compare(on_both, [SERVES if line == MIGRATED else line for line in pages])
    assert max(seconds) < POOL_TIMEOUT + 1


def test_migration_without_a_primary_ends_with_status_75_and_names_each_host(
    project: RenderedProject, plain_server: Postgres, replica: Postgres
) -> None:
    [closed] = free_ports(1)
    url = replica.url("tasks", host=f"localhost:{closed},{HOST}")

    code, lines = start(project, url, "alembic upgrade head")
    migrated, _ = start(
        project,
        plain_server.url("tasks", host=f"{HOST}:{replica.port},{HOST}"),
        "alembic upgrade head",
    )

    assert code == 75
    [line] = [line for line in lines if "database not reached" in line]
    assert f"localhost:{closed}: ConnectionRefusedError" in line
    assert f"{HOST}:{replica.port}: ReadOnlySQLTransactionError: the server is a replica" in line
    assert not any("Traceback" in line for line in lines)
    assert migrated == 0


def test_service_writes_to_the_new_primary_after_each_failover(
    serving: Serving, authority: Authority, new_folder: NewFolder, running: ExitStack
) -> None:
    primary = started(Postgres(new_folder("primary"), authority), running)
    primary.role(USER)
    database = primary.database("tasks")
    replica = started(Replica(new_folder("replica"), primary), running)

    with ExitStack() as stack:
        silent = stack.enter_context(hanging())
        hosts = f"127.0.0.1:{silent.port},{HOST}:{replica.port},{HOST}"
        service = stack.enter_context(serving(primary.url(database, host=hosts)))
        before = service.creating(5)
        replica.catch_up(primary)
        primary.stop()
        without = [service.get(READY), *service.creating(2)]
        replica.promote()
        first = service.seconds_until_healthy(5)
        # The old primary returns as a replica, catches up and takes over again.
        primary.follow(replica)
        primary.start()
        beside_a_replica = service.creating(5)
        primary.catch_up(replica)
        replica.stop()
        primary.promote()
        second = service.seconds_until_healthy(5)
        # This time the primary hangs instead of stopping.
        replica.follow(primary)
        replica.start()
        replica.catch_up(primary)
        with hung(primary):
            replica.promote()
            third = service.seconds_until_healthy(5)
            beside_a_hung_server = service.creating(5)
        after_it_is_back = service.creating(5)
        with service.client() as ann:
            titles = ann.titles()

    assert codes(before) == codes(beside_a_replica) == {201}
    assert codes(beside_a_hung_server) == codes(after_it_is_back) == {201}
    assert codes(without) == {503}
    assert max(first, second) < 5
    assert third < 8  # statements on the server that hangs have to time out first
    assert len(titles) >= 7 * 5
    assert "Traceback" not in service.printed()


def test_promoted_server_is_found_behind_a_pooler_that_reports_its_earlier_role(
    ask: Ask, tls_server: Postgres, new_folder: NewFolder
) -> None:
    with ExitStack() as stack:
        replica = started(Replica(new_folder("replica"), tls_server), stack)
        replica.catch_up(tls_server)
        pgbouncer = PgBouncer(new_folder("pgbouncer"), replica)
        stack.callback(pgbouncer.stop)
        pgbouncer.start()
        [closed] = free_ports(1)
        hosts = f"127.0.0.1:{closed},127.0.0.1"
        url = replica.url("tasks", {"pgbouncer": "true"}, host=hosts, port=pgbouncer.port)
        [before], _ = ask([url])
        replica.promote()
        [after], _ = ask([url])

    assert "the server is a replica" in before
    assert after == SERVES
