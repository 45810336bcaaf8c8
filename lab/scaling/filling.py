"""Databases with many tasks, one in 25 of them Ann's, and services that use them."""

import random
import signal
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from lab.faults.databases import Database, PostgresDatabase, PostgresServer, SqliteFile
from lab.faults.issuer import KeySet
from lab.faults.service import Service
from tests.rendering import Machine

ANN = "ann"
HERS = 25  # one task in this many is Ann's
EACH = 50  # tasks of each other user

FILL_POSTGRESQL = f"""
INSERT INTO tasks
SELECT
    CASE WHEN n % {HERS} = 0 THEN '{ANN}' ELSE 'user ' || n % ({{rows}} / {EACH}) END,
    uuidv7(make_interval(secs => n - {{rows}})),
    'Task number ' || n, NULL, n % 2 = 0, 1, now(), now()
FROM generate_series(1, {{rows}}) AS n
"""
FILL_SQLITE = "INSERT INTO tasks VALUES (?, ?, ?, NULL, ?, 1, ?, ?)"
WHEN = "2026-01-01 00:00:00.000000"


def fill(database: Database, rows: int) -> None:
    """Insert tasks by time, so that those of a user are scattered on the disk."""
    if isinstance(database, PostgresDatabase):
        with database.session() as session:
            session.run(FILL_POSTGRESQL.format(rows=rows))
            session.run("VACUUM ANALYZE tasks")
            session.run("CHECKPOINT")
        return
    with closing(sqlite3.connect(database.path, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = -1000000")  # in KiB; otherwise it would take hours
        connection.execute("BEGIN")
        connection.executemany(FILL_SQLITE, _tasks(rows))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _tasks(rows: int) -> Iterable[tuple[str, str, str, bool, str, str]]:
    begin = int(time.time() * 1000) - rows
    for n in range(1, rows + 1):
        owner = ANN if n % HERS == 0 else f"user {n % (rows // EACH)}"
        id = f"{begin + n:012x}7{random.getrandbits(12):03x}8{random.getrandbits(60):015x}"
        yield owner, id, f"Task number {n}", n % 2 == 0, WHEN, WHEN


def bytes_of(database: Database) -> int:
    if isinstance(database, PostgresDatabase):
        with database.session() as session:
            return int(session.run("SELECT pg_total_relation_size('tasks')"))
    return database.path.stat().st_size


def backends(database: Database) -> list[int]:
    """Return PostgreSQL's processes for the service; none with SQLite."""
    if not isinstance(database, PostgresDatabase):
        return []
    with database.session() as session:
        found = session.run(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' "
            "AND datname = current_database() AND application_name <> 'psql'"
        )
    return [int(pid) for pid in found.split()]


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time of the processes so far, of all threads."""
    threads = (each for pid in pids for each in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


class Rig:
    """A rendered project, an issuer of tokens, and databases."""

    def __init__(self, kind: str, folder: Path, stack: ExitStack) -> None:
        self.kind = kind
        self._folder = folder
        self._stack = stack
        self._issuer = KeySet()
        stack.callback(self._issuer.close)
        self._project = Machine(folder).render(
            database=kind, token_verification="jwks", frontend="none"
        )
        self._project.run("make .venv/ready")
        self._server: PostgresServer | None = None
        if kind == "postgresql":
            (folder / "postgres").mkdir()
            self._server = PostgresServer(self._project, folder / "postgres")
            stack.callback(self._server.stop)
            self._server.start()

    def database(self, name: str) -> Database:
        """Create an empty database."""
        if self._server:
            return self._stack.enter_context(self._server.database())
        (self._folder / name).mkdir()
        return SqliteFile(self._folder / name)

    @contextmanager
    def serving(self, database: Database, **settings: str) -> Iterator[Service]:
        log = self._folder / "service.log"
        service = Service(self._project.path, self._issuer, database, settings, log=log)
        try:
            service.start()
            yield service
        finally:
            service.stop()


@contextmanager
def rig(kind: str) -> Iterator[Rig]:
    # So that SIGTERM, too, stops the servers that it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with TemporaryDirectory(prefix="sizes-") as root, ExitStack() as stack:
        Path(root).chmod(0o755)  # under root, PostgreSQL runs as another user
        yield Rig(kind, Path(root), stack)
