"""Real servers for tests of DATABASE_URL: TLS, a primary with its replica, PgBouncer."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from conftest import cannot_run

from providers.servers import USER, Authority, Postgres, which

numbers = count(1)

NewFolder = Callable[[str], Path]


@pytest.fixture(scope="session")
def workshop() -> Iterator[Path]:
    packages = {"postgres": "postgresql", "psql": "postgresql-client", "pgbouncer": "pgbouncer"}
    missing = [package for tool, package in packages.items() if not which(tool)]
    if missing:
        cannot_run(f"not installed: {' '.join(missing)} (apt-get install {' '.join(missing)})")
    # If the run is killed, the servers still end.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Not in pytest's folder, which no other user may enter: root runs the servers as `nobody`.
    with TemporaryDirectory(prefix="providers-") as root:
        Path(root).chmod(0o755)
        yield Path(root)


@pytest.fixture(scope="session")
def new_folder(workshop: Path) -> NewFolder:
    """`new_folder("replica")` is an empty folder of that name and a number."""

    def make(name: str) -> Path:
        folder = workshop / f"{name}-{next(numbers)}"
        folder.mkdir()
        return folder

    return make


@pytest.fixture(scope="session")
def running() -> Iterator[ExitStack]:
    """Stops what the session's fixtures have started, the last one first."""
    with ExitStack() as stack:
        yield stack


def started(server: Postgres, running: ExitStack) -> Postgres:
    running.callback(server.stop)
    server.start()
    return server


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority("Provider CA")


@pytest.fixture(scope="session")
def tls_server(new_folder: NewFolder, authority: Authority, running: ExitStack) -> Postgres:
    """A server with TLS; `service` owns databases, the other roles test one way of access each."""
    server = started(Postgres(new_folder("tls"), authority), running)
    for role in (USER, "certified", "encrypted", "plain"):
        server.role(role)
    return server


@pytest.fixture(scope="session")
def plain_server(new_folder: NewFolder, running: ExitStack) -> Postgres:
    """A server without TLS."""
    server = started(Postgres(new_folder("plain")), running)
    server.role(USER)
    return server
