"""A cluster, and three services that reach it in different ways."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from lab.cluster.ledger import Ledger, Outcome
from lab.cluster.patroni import PYTHON, USER, Cluster, Node, Programs
from lab.cluster.proxies import Balancer, Relay, RestartedPgBouncer
from lab.faults.issuer import SharedSecret
from lab.faults.service import Service
from lab.scaling.machines import which
from lab.servers import Server
from tests.rendering import Machine, RenderedProject

ROUTES = ("hosts", "haproxy", "pgbouncer")
WORKERS = 2

S = TypeVar("S", Cluster, Server)
numbers = count(1)


@dataclass
class Database:
    url: str


class Deployment:
    """`services` has one service for each way. Each has its own database in the cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.relays: dict[str, Relay] = {}
        self.services: dict[str, Service] = {}
        self.logs: list[Path] = []
        self.pgbouncer: RestartedPgBouncer
        self._ledgers: dict[str, Ledger] = {}
        self._recoveries: dict[str, float] = {}

    def nodes(self) -> tuple[Node, list[Node]]:
        """Return the primary and the others."""
        primary = self.cluster.primary()
        assert primary, self.cluster.printed()
        return primary, [node for node in self.cluster.nodes if node is not primary]

    def wait_until_healthy(self) -> None:
        """Wait until writes succeed in each way, and then 50 of 50 concurrent ones."""
        for ledger in self._ledgers.values():
            ledger.wait_for(5)
        for way, service in self.services.items():
            seconds = service.seconds_until_healthy()
            self._recoveries[way] = max(seconds, self._recoveries.get(way, 0))

    def inject(self, fault: Callable[["Deployment"], float]) -> dict[str, Outcome]:
        """Return what the fault did to the writers of each way."""
        user = f"user {next(numbers)}"
        self._ledgers = {way: Ledger(each, user) for way, each in self.services.items()}
        with ExitStack() as writing:
            for ledger in self._ledgers.values():
                writing.enter_context(ledger.running())
            self.wait_until_healthy()  # the concurrent writes leave the pools full of connections
            self._recoveries = {}
            possible = fault(self)
            self.cluster.wait_until_whole()
            self.wait_until_healthy()
        return {
            way: ledger.compare(self._stored(way, user), possible, self._recoveries[way])
            for way, ledger in self._ledgers.items()
        }

    def tracebacks(self) -> int:
        """The number of tracebacks in the logs of the services."""
        return sum(log.read_text().count("Traceback") for log in self.logs)

    def _stored(self, way: str, user: str) -> Counter[str]:
        """The titles of the user's tasks on the primary."""
        with self.cluster.session(_name(way)) as session:
            rows = session.run(f"SELECT title FROM tasks WHERE owner_id = '{user}'")
        return Counter(rows.splitlines())


def _name(way: str) -> str:
    return f"tasks_{way}"


def missing() -> str:
    """Return what this machine lacks for these tests."""
    packages = {
        "etcd": "etcd-server", "haproxy": "haproxy", "make": "make", "pgbouncer": "pgbouncer",
        PYTHON: "python3",
    }  # fmt: skip
    lacks = [package for tool, package in packages.items() if not which(tool)]
    return f"not installed: {' '.join(lacks)} (apt-get install {' '.join(lacks)})" if lacks else ""


def rendered(machine: Machine) -> RenderedProject:
    """Return a project with PostgreSQL, and what its service needs."""
    answers = {"database": "postgresql", "token_verification": "shared-secret"}
    project = machine.render(frontend="none", **answers)
    project.run("make .venv/ready")
    return project


@contextmanager
def deployed(
    project: RenderedProject, folder: Path, programs: Programs, **settings: Any
) -> Iterator[Deployment]:
    """`settings` replaces some of the cluster's."""
    with ExitStack() as stack:

        def start(server: S) -> S:
            stack.callback(server.stop)
            server.start()
            return server

        deployment = Deployment(start(Cluster(folder, programs, **settings)))
        for way in ROUTES:
            with deployment.cluster.session() as session:
                session.run(f"CREATE DATABASE {_name(way)}")

        deployment.relays = {
            node.name: start(Relay(folder, node)) for node in deployment.cluster.nodes
        }
        relays = list(deployment.relays.values())
        balancer = start(Balancer(folder, project.path / "docs/scaling.md", relays))
        pgbouncer = RestartedPgBouncer(folder, _name("pgbouncer"), balancer.port, USER)
        deployment.pgbouncer = start(pgbouncer)

        hosts = ",".join(f"127.0.0.1:{relay.port}" for relay in relays)
        urls = {
            "hosts": f"postgresql://postgres@{hosts}/{_name('hosts')}"
            "?target_session_attrs=read-write",
            "haproxy": f"postgresql://postgres@127.0.0.1:{balancer.port}/{_name('haproxy')}",
            "pgbouncer": f"{pgbouncer.url}?pgbouncer=true",
        }
        issuer, workers = SharedSecret(), {"WORKERS": str(WORKERS)}
        for way in ROUTES:
            database, log = Database(urls[way]), folder / f"service-{way}.log"
            service = Service(project.path, issuer, database, workers, log=log)
            deployment.services[way] = start(service)
            deployment.logs.append(log)
        yield deployment
