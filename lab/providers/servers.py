"""PostgreSQL and PgBouncer as providers run them: TLS, passwords, replicas, limited roles.

Uses the programs installed on the machine (Debian: `postgresql`, `pgbouncer`). Every server has its
own data folder and port. Root starts them as `nobody`, since both refuse to run as root.
"""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lab.servers import Server, free_ports, wait_until
from tests.rendering import clean_environment

HOST = "localhost"
"""The only name in the server certificates: a URL with 127.0.0.1 does not match them."""
USER, PASSWORD = "service", "pa:ss/w@rd #1%"  # with all that a URL has to percent-encode
UNPRIVILEGED = "nobody" if os.geteuid() == 0 else None

CONFIGURATION = """
listen_addresses = 'localhost, ::1'
port = {port}
unix_socket_directories = '{folder}'
fsync = off
password_encryption = scram-sha-256
max_connections = 60
wal_keep_size = 64
"""
TLS = """
ssl = on
ssl_cert_file = '{folder}/server.crt'
ssl_key_file = '{folder}/server.key'
ssl_ca_file = '{folder}/root.crt'
"""
# The administrator uses the socket. `certified` needs a client certificate, `encrypted` needs TLS,
# and `plain` is refused with TLS.
ACCESS = """
local   all         postgres              trust
local   replication postgres              trust
local   all         all                   scram-sha-256
hostssl all         certified all         cert
hostnossl all       certified,encrypted all reject
hostssl all         plain     all         reject
host    all         all       all         scram-sha-256
"""
PGBOUNCER = """
[databases]
* = host={folder} port={server}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {own}/users.txt
pool_mode = transaction
default_pool_size = 3
client_tls_sslmode = require
client_tls_cert_file = {folder}/server.crt
client_tls_key_file = {folder}/server.key
"""


def which(tool: str) -> Path | None:
    """Return the path of a server program; looks in Debian's folders, too."""
    newest = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name.zfill(3)
    )
    folders = [*map(str, reversed(newest)), os.environ.get("PATH", ""), "/usr/sbin"]
    found = shutil.which(tool, path=os.pathsep.join(folders))
    return Path(found) if found else None


def run(tool: str, *arguments: object, user: str | None = UNPRIVILEGED) -> str:
    done = subprocess.run(
        [which(tool), *map(str, arguments)],
        # Without this HOME, libpq would look for certificates in the home of another user.
        env=clean_environment() | {"LC_ALL": "C", "HOME": "/nonexistent"},
        cwd="/",
        user=user,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Authority:
    """A private certificate authority."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(
            self._builder(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.KeyUsage(
                    key_cert_sign=True, crl_sign=True, digital_signature=False,
                    content_commitment=False, key_encipherment=False, data_encipherment=False,
                    key_agreement=False, encipher_only=False, decipher_only=False,
                ),
                critical=True,
            )
        )  # fmt: skip

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey):
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )

    def _sign(self, builder) -> x509.Certificate:
        return builder.sign(self._key, hashes.SHA256())

    def issue(self, key: ec.EllipticCurvePrivateKey, *names: str) -> x509.Certificate:
        """Return a certificate for host names or IP addresses, or for a role (its common name)."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        alternatives = x509.SubjectAlternativeName([general_name(name) for name in names])
        return self._sign(self._builder(subject, key).add_extension(alternatives, critical=False))

    def write(self, path: Path) -> Path:
        """Write the root certificate, which clients name in `sslrootcert`."""
        path.write_bytes(pem(self.certificate))
        return path

    def write_pair(self, folder: Path, stem: str, *names: str, password: str = "") -> Path:
        """Write `stem.crt` and `stem.key` for these names; return the path of the certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        encryption = (
            serialization.BestAvailableEncryption(password.encode())
            if password
            else serialization.NoEncryption()
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )
        (folder / f"{stem}.key").touch(0o600)
        (folder / f"{stem}.key").write_bytes(private)
        (folder / f"{stem}.crt").write_bytes(pem(self.issue(key, *names)))
        return folder / f"{stem}.crt"

    def write_revocations(self, path: Path, *revoked: Path) -> Path:
        """Write a certificate revocation list with these certificates."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(now - timedelta(days=1))
            .next_update(now + timedelta(days=1))
        )
        for certificate in revoked:
            serial = x509.load_pem_x509_certificate(certificate.read_bytes()).serial_number
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(serial)
                .revocation_date(now - timedelta(hours=1))
                .build()
            )
        listed = builder.sign(self._key, hashes.SHA256())
        path.write_bytes(listed.public_bytes(serialization.Encoding.PEM))
        return path


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


class Postgres(Server):
    """A PostgreSQL server with passwords, and with TLS if it gets an authority."""

    def __init__(self, folder: Path, authority: Authority | None = None) -> None:
        """Initialize a data folder in `folder`, and make the server's user its owner."""
        [self.port] = free_ports(1)
        self.folder, self.data = folder, folder / "data"
        self.authority = authority
        self.root = folder / "root.crt"
        if authority:
            authority.write(self.root)
            authority.write_pair(folder, "server", HOST)
        own(folder)
        self._make_data()
        with (self.data / "postgresql.conf").open("a") as configuration:
            tls = TLS if authority else ""
            configuration.write((CONFIGURATION + tls).format(port=self.port, folder=folder))
        super().__init__(
            f"{which('postgres')} -D {self.data}",
            folder,
            self.accepts,
            environment={"LC_ALL": "C"},
            log=folder.parent / f"{folder.name}.log",
            user=UNPRIVILEGED,
        )

    def _make_data(self) -> None:
        # fmt: off
        run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust",
            "--no-sync", "-E", "UTF8", "--locale=C")
        # fmt: on
        (self.data / "pg_hba.conf").write_text(ACCESS)

    def accepts(self) -> bool:
        asking = [which("pg_isready"), "-q", "-h", self.folder, "-p", str(self.port)]
        return subprocess.run(asking).returncode == 0

    def stop(self) -> None:
        """End all sessions, then the server."""
        process, self._process = self._process, None
        if process:
            process.send_signal(signal.SIGINT)
            process.wait(30)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Accept connections but do not respond: suspend the server until the block ends."""
        assert self._process, "not launched"
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def sql(self, *statements: str, database: str = "postgres") -> str:
        """Run statements as the administrator, each on its own; return what they print."""
        commands = [part for statement in statements for part in ("-c", statement)]
        where = ("-h", self.folder, "-p", self.port, "-U", "postgres", "-d", database)
        return run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", *where, *commands)

    def catch_up(self, primary: "Postgres") -> None:
        """Wait until this replica has everything that `primary` has written so far."""
        position = primary.sql("SELECT pg_current_wal_lsn()")
        question = f"SELECT pg_last_wal_replay_lsn() >= '{position}'"
        wait_until(lambda: self.sql(question) == "t", 20, self.printed)

    def promote(self) -> None:
        """Turn from a replica into a primary, as in a failover."""
        run("pg_ctl", "promote", "-D", self.data)

    def follow(self, primary: "Postgres") -> None:
        """Become a replica of `primary` at the next start."""
        (self.data / "standby.signal").touch()
        with (self.data / "postgresql.auto.conf").open("a") as configuration:
            where = f"host={primary.folder} port={primary.port} user=postgres"
            configuration.write(f"primary_conninfo = '{where}'\n")

    def role(self, name: str, password: str = PASSWORD) -> None:
        literal = password.replace("'", "''")
        self.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{literal}'")

    def database(self, name: str, owner: str = USER) -> str:
        """Create an empty database; return its name."""
        self.sql(f"CREATE DATABASE {name} OWNER {owner}")
        return name

    def url(
        self,
        database: str,
        parameters: Mapping[str, object] | None = None,
        *,
        user: str = USER,
        password: str = PASSWORD,
        host: str = HOST,
        port: int | None = None,
    ) -> str:
        """Return the URL as a provider would show it."""
        query = "&".join(f"{key}={quote(str(value))}" for key, value in (parameters or {}).items())
        account = f"{quote(user)}:{quote(password, safe='')}"
        where = f"{account}@{host}:{port or self.port}/{quote(database)}"
        return f"postgresql://{where}{'?' if query else ''}{query}"


class Replica(Postgres):
    """A replica of another server, copied from it while it runs."""

    def __init__(self, folder: Path, primary: Postgres) -> None:
        self._primary = primary
        super().__init__(folder, primary.authority)

    def _make_data(self) -> None:
        # fmt: off
        run("pg_basebackup", "-h", self._primary.folder, "-p", self._primary.port,
            "-U", "postgres", "-D", self.data, "-R", "-X", "stream", "-c", "fast", "--no-sync")
        # fmt: on


class PgBouncer(Server):
    """PgBouncer in transaction mode in front of a server, with TLS for its clients."""

    def __init__(self, folder: Path, postgres: Postgres) -> None:
        [self.port] = free_ports(1)
        own(folder)
        (folder / "users.txt").write_text(f'"{USER}" "{PASSWORD}"\n')
        (folder / "pgbouncer.ini").write_text(
            PGBOUNCER.format(
                own=folder, folder=postgres.folder, server=postgres.port, port=self.port
            )
        )
        super().__init__(
            f"{which('pgbouncer')} {folder / 'pgbouncer.ini'}",
            folder,
            self._listens,
            log=folder.parent / f"{folder.name}.log",
            user=UNPRIVILEGED,
        )

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


def own(folder: Path) -> None:
    """Give a folder and the files in it to the user that servers run as."""
    if UNPRIVILEGED:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, UNPRIVILEGED)


@dataclass(frozen=True)
class Hanging:
    """A port that accepts connections and never answers."""

    port: int


@contextmanager
def hanging() -> Iterator[Hanging]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Hanging(server.getsockname()[1])
