"""Full and read-only disks: writes return 503, reads succeed, and writes recover afterwards."""

import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from lab.faults.client import Response, codes, numbers
from lab.faults.conftest import Figures, Serve, on_postgresql, on_sqlite
from lab.faults.databases import Database, PostgresServer, SqliteFile
from lab.faults.problems import assert_unavailable
from lab.faults.service import RECOVERY, Service
from tests.rendering import cannot_run

MEGABYTES = 24  # an empty database of PostgreSQL takes 8


@pytest.fixture
def small_disk(shared_folder: Path) -> Iterator[Path]:
    disk = shared_folder / f"disk-{next(numbers)}"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m,mode=777", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        cannot_run(f"a small disk cannot be mounted: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.fixture
def cramped(kind: str, small_disk: Path, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database on a small disk."""
    if kind == "sqlite":
        yield SqliteFile(small_disk)
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    space = small_disk / "space"
    space.mkdir(0o700)
    if server.user:
        shutil.chown(space, server.user)
    with server.session() as session:
        session.run(f"CREATE TABLESPACE small LOCATION '{space}'")
        with server.database("TABLESPACE small") as database:
            yield database
        session.run("DROP TABLESPACE small")


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Fill the disk until the block ends."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    yield
    filler.unlink()


@contextmanager
def small_files(service: Service) -> Iterator[None]:
    """Limit the service's file sizes until the block ends."""
    soft, hard = resource.prlimit(service.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    files = list(folder.iterdir())
    for path in files:
        path.chmod(0o444)
    folder.chmod(0o555)
    try:
        yield
    finally:
        for path in files:
            path.chmod(0o644)
        folder.chmod(0o755)


def until_refused(service: Service) -> list[Response]:
    """Large tasks, until there was no room for three of them; which takes more than one where
    files have room inside."""
    answers: list[Response] = []
    with service.client() as client:
        while sum(not answer.is_success for answer in answers) < 3 and len(answers) < 1000:
            answers.append(client.create(description="x" * 9000))
    return answers


def test_write_to_a_full_disk_returns_503(
    cramped: Database, small_disk: Path, serve: Serve, figures: Figures
) -> None:
    service = serve(database=cramped)
    assert codes(service.creating(5)) == {201}

    with filled(small_disk):
        answers = until_refused(service)
        reads = service.listing(10)
    recovered = service.seconds_until_healthy(10)
    with service.client() as client:
        titles = client.titles()

    refused = [answer for answer in answers if not answer.is_success]
    figures(codes=codes(answers), reads=codes(reads), recovered_after=recovered)
    assert refused
    assert_unavailable(refused)
    assert codes(reads) == {200}
    assert {answer.json()["title"] for answer in answers if answer.is_success} <= set(titles)
    assert cramped.is_sound()
    assert recovered < RECOVERY


@on_sqlite
def test_write_beyond_the_file_size_limit_returns_503(service: Service, figures: Figures) -> None:
    assert codes(service.creating(5)) == {201}

    with small_files(service):
        answers = service.creating(5)
        reads = service.listing(5)
    recovered = service.seconds_until_healthy(10)

    figures(codes=codes(answers), reads=codes(reads), recovered_after=recovered)
    assert_unavailable(answers)
    assert codes(reads) <= {200, 503}
    assert recovered < RECOVERY
    assert service.database.is_sound()


@on_sqlite
def test_read_only_file_can_be_read(serve: Serve, database: SqliteFile, figures: Figures) -> None:
    serve().stop()  # creates the tables
    with database.session() as other:
        # Otherwise the last connection would remove the log, and it could not be created again.
        other.execute("SELECT * FROM tasks").fetchall()

        with read_only(database.path.parent):
            service = serve(ready=False, as_others=True)
            service.wait_until_alive()
            answers = service.creating(10)
            reads = service.listing(10)
        recovered = service.seconds_until_healthy(10)

    figures(codes=codes(answers), reads=codes(reads), recovered_after=recovered)
    assert_unavailable(answers)
    assert codes(reads) == {200}
    assert recovered < RECOVERY


@on_postgresql
def test_read_only_database_can_be_read(service: Service, figures: Figures) -> None:
    assert codes(service.creating(5)) == {201}

    with service.database.read_only():
        answers = service.creating(10) + service.creating(10)  # on new connections, too
        reads = service.listing(10)
    recovered = service.seconds_until_healthy(10)

    figures(codes=codes(answers), reads=codes(reads), recovered_after=recovered)
    assert_unavailable(answers)
    assert codes(reads) == {200}
    assert recovered < RECOVERY
