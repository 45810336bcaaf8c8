"""PgBouncer, nginx and HAProxy, with the configurations in the project's documents."""

import os
import re
import shutil
import signal
import socket
from contextlib import suppress
from pathlib import Path

from lab.servers import Server, answers, free_ports

SERVERS = 3
"""The connections that PgBouncer has to the database: fewer than its clients have to it."""

CUT = 2  # seconds for a request head or a body, in place of the documented 10

PGBOUNCER = """
[databases]
{name} = host=127.0.0.1 port={server} user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {servers}
server_login_retry = 1
"""

NGINX = """
daemon off;
pid {folder}/nginx.pid;
worker_processes 2;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    include {folder}/site.conf;
}}
"""


def which(tool: str) -> str | None:
    """Return the path of a program; looks in Debian's folders for servers, too."""
    return shutil.which(tool) or shutil.which(tool, path="/usr/sbin")


class PgBouncer(Server):
    """PgBouncer in transaction mode in front of one database. `url` is for services."""

    def __init__(self, folder: Path, name: str, server: int, user: str | None) -> None:
        """`server` is PostgreSQL's port. `user` runs PgBouncer, which refuses to run as root."""
        [port] = free_ports(1)
        self.log = folder / "pgbouncer.log"
        self.url = f"postgresql+asyncpg://postgres@127.0.0.1:{port}/{name}"
        self._port = port
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            PGBOUNCER.format(name=name, server=server, port=port, servers=SERVERS)
        )
        super().__init__(
            f"{which('pgbouncer')} {configuration}", folder, self._listens, log=self.log, user=user
        )

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
            return True
        return False


class Nginx(Server):
    """nginx in front of several services."""

    def __init__(self, folder: Path, document: Path, ports: list[int]) -> None:
        """Use the configuration in `document`, except for addresses."""
        [self.port] = free_ports(1)
        self.log = folder / "nginx.log"
        [site] = re.findall(r"(?ms)^```nginx\n(.*?)^```", document.read_text())
        site = site.replace("listen 80;", f"listen 127.0.0.1:{self.port};")
        for address, port in zip(re.findall(r"server (10[\d.:]+)", site), ports, strict=True):
            site = site.replace(address, f"127.0.0.1:{port}")
        self._site = site
        self._file = folder / "site.conf"
        self._file.write_text(site)
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder))
        super().__init__(
            f"{which('nginx')} -e stderr -p {folder} -c {folder}/nginx.conf",
            folder,
            lambda: answers(f"http://127.0.0.1:{self.port}/health/live"),
            log=self.log,
        )

    def leave_out(self, *ports: int) -> None:
        """Send no more requests to these services, only to the others."""
        site = self._site
        for port in ports:
            site = re.sub(rf"server 127.0.0.1:{port}\b", r"\g<0> down", site)
        self._file.write_text(site)
        assert self._process, "not launched"
        os.kill(self._process.pid, signal.SIGHUP)


class StrippingNginx(Server):
    """An nginx that serves the service under a prefix, with the configuration of deploying.md."""

    def __init__(self, project: Path, folder: Path, port: int, prefix: str) -> None:
        """`port` is the port of the service."""
        [own] = free_ports(1)
        self.url = f"http://localhost:{own}{prefix}"
        document = (project / "docs/deploying.md").read_text()
        [location] = re.findall(r"(?ms)^```nginx\n(location .*?)^```", document)
        location = location.replace("/tasks/", f"{prefix}/").replace(":8000", f":{port}")
        (folder / "site.conf").write_text(f"server {{ listen 127.0.0.1:{own}; {location} }}")
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder))
        super().__init__(
            f"{which('nginx')} -e stderr -p {folder} -c {folder}/nginx.conf",
            folder,
            lambda: answers(f"{self.url}/health/live"),
            log=folder / "nginx.log",
        )


class Proxy(Server):
    """An nginx or HAProxy in front of one service, with the configuration in `document`.

    Only addresses and ports differ, and timeouts of 10 seconds are shorter.
    """

    def __init__(self, folder: Path, document: Path, kind: str, service_port: int) -> None:
        [self.port] = free_ports(1)
        pattern = {"nginx": r"(limit_conn_zone .*?)", "haproxy": r"(global\n.*?)"}[kind]
        [text] = re.findall(rf"(?ms)^```{kind}\n{pattern}^```", document.read_text())
        changes = {
            "listen 80;": f"listen 127.0.0.1:{self.port};",
            "bind :80": f"bind 127.0.0.1:{self.port}",
            "127.0.0.1:8000": f"127.0.0.1:{service_port}",
            "client_header_timeout 10s": f"client_header_timeout {CUT}s",
            "client_body_timeout 10s": f"client_body_timeout {CUT}s",
            "timeout http-request 10s": f"timeout http-request {CUT}s",
        }
        for old, new in changes.items():
            text = text.replace(old, new)
        (folder / "site.conf").write_text(text)
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder))
        command = {
            "nginx": f"{which('nginx')} -e stderr -p {folder} -c {folder}/nginx.conf",
            "haproxy": f"{which('haproxy')} -db -f {folder}/site.conf",
        }[kind]
        super().__init__(
            command,
            folder,
            lambda: answers(f"http://127.0.0.1:{self.port}/health/live"),
            log=folder / f"{kind}.log",
        )
