"""Full and read-only: writing is 503, reading goes on, and all is well once it is mended."""

import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from lab.faults.client import Answer, codes, numbers
from lab.faults.conftest import Figures, Serve, on_postgresql, on_sqlite
from lab.faults.databases import Database, PostgresServer, SqliteFile
from lab.faults.problems import assert_unavailable
from lab.faults.service import RECOVERY, Service
from tests.rendering import cannot_run

MEGABYTES = 24  # an empty database of PostgreSQL takes 8


@pytest.fixture
def small_disk(workshop: Path) -> Iterator[Path]:
    disk = workshop / f"disk-{next(numbers)}"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m,mode=777", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        cannot_run(f"a small disk cannot be mounted: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.fixture
def cramped(kind: str, small_disk: Path, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database whose files are on a disk that can be filled."""
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
    """No byte is left on it until the block ends."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    yield
    filler.unlink()


@contextmanager
def small_files(service: Service) -> Iterator[None]:
    """No file may grow by the service's hand until the block ends."""
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


def until_refused(service: Service) -> list[Answer]:
    """Large tasks, until there was no room for three of them; which takes more than one where
    files have room inside."""
    answers: list[Answer] = []
    with service.client() as client:
        while sum(not answer.is_good for answer in answers) < 3 and len(answers) < 1000:
            answers.append(client.create(description="x" * 9000))
    return answers


def test_a_full_disk_is_503_for_who_writes(
    cramped: Database, small_disk: Path, serve: Serve, figures: Figures
) -> None:
    service = serve(database=cramped)
    assert codes(service.creating(5)) == {201}

    with filled(small_disk):
        answers = until_refused(service)
        reads = service.listing(10)
    recovered = service.seconds_until_all_is_well(10)
    with service.client() as client:
        titles = client.titles()

    refused = [answer for answer in answers if not answer.is_good]
    figures(codes=codes(answers), reads=codes(reads), recovered_after=recovered)
    assert refused
    assert_unavailable(refused)
    assert codes(reads) == {200}
    assert {answer.json()["title"] for answer in answers if answer.is_good} <= set(titles)
    assert cramped.is_sound()
    assert recovered < RECOVERY


@on_sqlite
def test_a_file_that_may_not_grow_is_503_for_who_writes(service: Service, figures: Figures) -> None:
    assert codes(service.creating(5)) == {201}

    with small_files(service):
        answers = service.creating(5)
        reads = service.listing(5)
    recovered = service.seconds_until_all_is_well(10)

    figures(codes=codes(answers), reads=codes(reads), recovered_after=recovered)
    assert_unavailable(answers)
    assert codes(reads) <= {200, 503}
    assert recovered < RECOVERY
    assert service.database.is_sound()


@on_sqlite
def test_a_file_that_is_read_only_can_be_read(
    serve: Serve, database: SqliteFile, figures: Figures
) -> None:
    serve().stop()  # makes the tables
    with database.session() as other:
        # Else the log would be gone with the last one who uses it, and nobody could make it.
        other.execute("SELECT * FROM tasks").fetchall()

        with read_only(database.path.parent):
            service = serve(ready=False, as_others=True)
            service.wait_until_alive()
            answers = service.creating(10)
            reads = service.listing(10)
        recovered = service.seconds_until_all_is_well(10)

    figures(codes=codes(answers), reads=codes(reads), recovered_after=recovered)
    assert_unavailable(answers)
    assert codes(reads) == {200}
    assert recovered < RECOVERY


@on_postgresql
def test_a_database_that_is_read_only_can_be_read(service: Service, figures: Figures) -> None:
    assert codes(service.creating(5)) == {201}

    with service.database.read_only():
        answers = service.creating(10) + service.creating(10)  # those by new connections, too
        reads = service.listing(10)
    recovered = service.seconds_until_all_is_well(10)

    figures(codes=codes(answers), reads=codes(reads), recovered_after=recovered)
    assert_unavailable(answers)
    assert codes(reads) == {200}
    assert recovered < RECOVERY
