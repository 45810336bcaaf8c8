"""The programs between the services and the nodes: relays, HAProxy, PgBouncer."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.cluster.patroni import Node, get
from lab.faults.processes import frozen
from lab.scaling.machines import PgBouncer, which
from lab.servers import Server, free_ports

RELAY = """
global
    nbthread 1
defaults
    mode tcp
    retries 0
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen postgresql
    bind 127.0.0.1:{port}
    server node 127.0.0.1:{node.port}
listen patroni
    bind 127.0.0.1:{rest}
    server node 127.0.0.1:{node.rest}
"""


class HAProxy(Server):
    def __init__(self, folder: Path, name: str, port: int, configuration: str) -> None:
        """`port` is one that answers HTTP requests once HAProxy runs."""
        file = folder / f"{name}.cfg"
        file.write_text(configuration)
        super().__init__(
            f"{which('haproxy')} -db -f {file}",
            folder,
            lambda: get(port, "/").status != 0,
            log=folder / f"{name}.log",
        )


class Relay(HAProxy):
    """The network between the services and one node.

    The nodes do not need it to reach each other and etcd.
    """

    def __init__(self, folder: Path, node: Node) -> None:
        self.port, self.rest = free_ports(2)
        text = RELAY.format(node=node, port=self.port, rest=self.rest)
        super().__init__(folder, f"relay-{node.name}", self.rest, text)

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Forward nothing until the block ends. Connections stay open."""
        with frozen([self.pid]):
            yield


class Balancer(HAProxy):
    """The HAProxy of scaling.md, with one port that leads to the primary."""

    def __init__(self, folder: Path, document: Path, relays: list[Relay]) -> None:
        """With the configuration in `document`, except for addresses."""
        self.port, statistics = free_ports(2)
        [text] = re.findall(r"(?ms)^```haproxy\n(.*?)^```", document.read_text())
        text = text.replace("bind :5432", f"bind 127.0.0.1:{self.port}")
        addresses = re.findall(r"10[\d.]+:5432 check port 8008", text)
        for address, relay in zip(addresses, relays, strict=True):
            text = text.replace(address, f"127.0.0.1:{relay.port} check port {relay.rest}")
        text += f"\nlisten ready\n    bind 127.0.0.1:{statistics}\n    mode http\n"
        super().__init__(folder, "haproxy", statistics, text)


RESTART = """
while true; do {pgbouncer}; sleep 0.1; done
"""


class RestartedPgBouncer(PgBouncer):
    """A PgBouncer that is restarted when it exits, as by `Restart=always` of systemd.

    PgBouncer 1.18, which Debian 12 has, exits when PostgreSQL hangs and there are cancel requests
    to forward: https://github.com/pgbouncer/pgbouncer/issues/801. Release 1.20 fixes that.
    """

    def __init__(self, folder: Path, name: str, server: int, user: str | None) -> None:
        super().__init__(folder, name, server, user)
        script = folder / "pgbouncer.sh"
        script.write_text(RESTART.format(pgbouncer=self._command))
        self._command = f"sh {script}"

    def ends(self) -> int:
        """How often it has exited by itself."""
        return self.log.read_text().count(" FATAL ")
