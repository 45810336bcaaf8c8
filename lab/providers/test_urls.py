"""Each form of URL that providers hand out works, or fails with one line that says why."""

import shutil
import socket
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from lab.providers.conftest import Ask, NewFolder, compare
from lab.providers.servers import HOST, PASSWORD, USER, Authority, Postgres, hanging
from lab.servers import free_ports

SERVES = ""
REFUSED = "refused: Value error, "
NOT_VERIFIED = "database: ConnectionError: .*: SSLCertVerificationError: "


@pytest.fixture(scope="session")
def files(new_folder: NewFolder, authority: Authority, tls_server: Postgres) -> Path:
    """The files that URLs name: valid ones, and some that the server or TLS rejects."""
    folder = new_folder("files")
    authority.write(folder / "root.crt")
    Authority("Another CA").write(folder / "other.crt")
    authority.write_pair(folder, "client", "certified")
    authority.write_pair(folder, "locked", "certified", password="open")
    authority.write_pair(folder, "stranger", "somebody")
    authority.write_revocations(folder / "none.crl")
    authority.write_revocations(folder / "all.crl", tls_server.folder / "server.crt")
    (folder / "garbage.crt").write_text("no certificate")
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    (folder / "pgpass").write_text(f"# host:port\n*:*:*:{USER}:{escaped}\n")
    (folder / "pgpass").chmod(0o600)
    shutil.copy(folder / "pgpass", folder / "open-pgpass")
    (folder / "open-pgpass").chmod(0o644)
    return folder


def test_tls_parameters_mean_the_same_as_in_libpq(
    ask: Ask, tls_server: Postgres, plain_server: Postgres, files: Path
) -> None:
    root, other = files / "root.crt", files / "other.crt"
    client, locked, stranger = (files / f"{name}.crt" for name in ("client", "locked", "stranger"))
    no_tls = "database: ConnectionError: .* rejected SSL upgrade"
    denied = "database: .*no pg_hba.conf entry|database: .*pg_hba.conf rejects connection"
    by_address = {"host": "127.0.0.1"}
    as_encrypted, as_plain = {"user": "encrypted"}, {"user": "plain"}
    as_certified = {"user": "certified"}
    both = {"sslcert": client, "sslkey": client.with_suffix(".key")}
    locked_pair = {"sslcert": locked, "sslkey": locked.with_suffix(".key")}
    system = {"sslmode": "verify-full", "sslrootcert": "system"}

    on_tls = [
        # Modes
        ({}, {}, SERVES),
        ({}, as_encrypted, SERVES),
        ({}, as_plain, SERVES),  # prefer: without TLS, after the server refused TLS
        ({"sslmode": "disable"}, as_plain, SERVES),
        ({"sslmode": "disable"}, as_encrypted, denied),
        ({"sslmode": "allow"}, as_plain, SERVES),
        ({"sslmode": "allow"}, as_encrypted, SERVES),  # with TLS, after a refusal without it
        ({"sslmode": "prefer"}, as_encrypted, SERVES),
        ({"sslmode": "require"}, as_encrypted, SERVES),
        ({"sslmode": "require"}, as_plain, denied),
        ({"ssl": "true"}, as_plain, denied),
        ({"ssl": "require"}, as_encrypted, SERVES),
        ({}, {"password": "wrong"}, "database: .*password authentication failed"),
        ({}, as_encrypted | {"password": "wrong"}, "database: .*password authentication failed"),
        # Verification
        ({"sslmode": "require", "sslrootcert": root}, by_address, SERVES),
        ({"sslmode": "require", "sslrootcert": other}, {}, NOT_VERIFIED),
        ({"sslmode": "verify-ca", "sslrootcert": root}, by_address, SERVES),
        ({"sslmode": "verify-ca", "sslrootcert": other}, {}, NOT_VERIFIED),
        ({"sslmode": "verify-full", "sslrootcert": root}, {}, SERVES),
        ({"sslmode": "verify-full", "sslrootcert": root}, by_address, NOT_VERIFIED),
        ({"sslmode": "verify-full", "sslrootcert": other}, {}, NOT_VERIFIED),
        ({"sslmode": "verify-full"}, {}, REFUSED + "sslmode=verify-full needs sslrootcert"),
        ({"sslmode": "verify-ca"}, {}, REFUSED + "sslmode=verify-ca needs sslrootcert"),
        (system, {}, NOT_VERIFIED),
        ({"sslrootcert": "system"}, {}, NOT_VERIFIED),
        ({"sslmode": "require", "sslrootcert": "system"}, {}, REFUSED + "with sslrootcert=system"),
        # Channel binding: the certificate is verified in full instead
        ({"sslmode": "require", "channel_binding": "require"}, {}, NOT_VERIFIED),
        ({"channel_binding": "require", "sslrootcert": root}, {}, SERVES),
        ({"channel_binding": "require", "sslrootcert": root}, by_address, NOT_VERIFIED),
        ({"sslmode": "require", "channel_binding": "prefer"}, {}, SERVES),
        ({"sslmode": "disable", "channel_binding": "require"}, {}, REFUSED + "channel_binding"),
        # Revocation
        ({"sslmode": "verify-ca", "sslrootcert": root, "sslcrl": files / "none.crl"}, {}, SERVES),
        ({"sslmode": "verify-ca", "sslrootcert": root, "sslcrl": files / "all.crl"}, {},
         NOT_VERIFIED + ".*revoked"),
        # Client certificates
        ({"sslmode": "require", **both}, as_certified, SERVES),
        ({"sslmode": "require", **locked_pair, "sslpassword": "open"}, as_certified, SERVES),
        ({"sslmode": "require"}, as_certified, "database: .*valid client certificate"),
        ({"sslmode": "require", **both, "sslcertmode": "disable"}, as_certified,
         "database: .*valid client certificate"),
        ({"sslmode": "require", "sslcert": stranger, "sslkey": stranger.with_suffix(".key")},
         as_certified, "database: .*authentication failed"),
        ({**locked_pair, "sslpassword": "shut"}, {}, REFUSED + "the file of sslcert or sslkey"),
        ({**locked_pair}, {}, REFUSED + "the file of sslcert or sslkey"),
        ({**both, "sslkey": stranger.with_suffix(".key")}, {}, REFUSED + ".*MISMATCH"),
        ({"sslkey": client.with_suffix(".key")}, {}, REFUSED + "the parameter sslkey needs"),
        # Versions
        ({"sslmode": "require", "ssl_min_protocol_version": "TLSv1.3"}, {}, SERVES),
        ({"sslmode": "require", "ssl_max_protocol_version": "TLSv1.2"}, {}, SERVES),
        ({"ssl_min_protocol_version": "TLSv1.3", "ssl_max_protocol_version": "TLSv1.2"}, {},
         REFUSED + "ssl_min_protocol_version"),
        # Files
        *(
            ({"sslmode": "require", parameter: files / "missing"}, {},
             REFUSED + f"the file of {parameter} cannot be used: .*missing: No such file")
            for parameter in ("sslrootcert", "sslcert", "sslcrl", "passfile")
        ),
        ({"sslrootcert": files}, {}, REFUSED + "the file of sslrootcert .*Is a directory"),
        ({"sslrootcert": files / "garbage.crt"}, {}, REFUSED + "the file of sslrootcert cannot"),
        ({"passfile": files / "open-pgpass"}, {}, REFUSED + "other users can .*chmod 600"),
        ({"passfile": files / "pgpass"}, {"password": ""}, SERVES),
        # Other parameters
        ({"application_name": "tasks", "options": "-c search_path=public"}, {}, SERVES),
        ({"options": "-c search_path=nowhere"}, {}, "database: .*USAGE on a schema"),
        ({"target_session_attrs": "read-write"}, {}, SERVES),
        ({"target_session_attrs": "any"}, {}, SERVES),
        ({"target_session_attrs": "standby"}, {}, REFUSED + "the parameter target_session_attrs"),
        ({"pgbouncer": "true"}, {}, SERVES),
        ({"host": tls_server.folder}, {}, SERVES),
        ({"user": "postgres", "host": tls_server.folder, "sslmode": "require"}, {}, SERVES),
    ]  # fmt: skip
    on_plain = [
        ({}, {}, SERVES),
        ({"sslmode": "prefer"}, {}, SERVES),
        ({"sslmode": "allow"}, {}, SERVES),
        ({"sslmode": "disable"}, {}, SERVES),
        ({"sslmode": "require"}, {}, no_tls),
        ({"sslmode": "verify-full", "sslrootcert": root}, {}, no_tls),
        ({"channel_binding": "require"}, {}, no_tls),
    ]
    cases = [
        (server.url("tasks", parameters, **where), expected)
        for server, table in ((tls_server, on_tls), (plain_server, on_plain))
        for parameters, where, expected in table
    ]

    found, _ = ask([url for url, _ in cases])

    compare(cases, found)


def test_every_notation_of_hosts_connects(
    ask: Ask, tls_server: Postgres, plain_server: Postgres
) -> None:
    port = tls_server.port
    account = f"{USER}:{quote(PASSWORD, safe='')}"
    tls_server.database("closed", owner="postgres")
    tls_server.sql("REVOKE CONNECT ON DATABASE closed FROM PUBLIC")
    elsewhere = plain_server.port  # the other server has the same password and tables
    [closed] = free_ports(1)
    with hanging() as silent:
        hung = silent.port
        good = [
            f"postgres://{account}@{HOST}:{port}/tasks",
            f"postgresql+asyncpg://{account}@{HOST}:{port}/tasks?ssl=require",
            f"postgresql://{account}@127.0.0.1:{port}/tasks",
            f"postgresql://{account}@/tasks?host={HOST}&port={port}",
            f"postgresql://?host={HOST}&port={port}&dbname=tasks&user={USER}"
            f"&password={quote(PASSWORD, safe='')}",
            f"postgresql://{account}@ignored:1/tasks?host={HOST}&port={port}",
            f"postgresql://{account}@{quote(str(tls_server.folder), safe='')}:{port}/tasks",
            f"postgresql://{account}@/tasks?host={tls_server.folder}&port={port}",
            # Several hosts: closed, unknown and silent ones are skipped.
            f"postgresql://{account}@127.0.0.1:{closed},{HOST}:{port}/tasks",
            f"postgresql://{account}@no.such.host.invalid:{port},{HOST}:{port}/tasks",
            f"postgresql://{account}@127.0.0.1:{hung},{HOST}:{port}/tasks",
            f"postgresql://{account}@127.0.0.1:{hung},{HOST}:{port}/tasks?connect_timeout=1",
            f"postgresql://{account}@127.0.0.1,{HOST}/tasks?port={closed},{port}",
            f"postgresql://{account}@{HOST},127.0.0.1/tasks?port={port}",
            f"postgresql://{account}@{HOST}:{elsewhere},{HOST}:{port}/tasks"
            "?load_balance_hosts=random",
        ]
        if has_ipv6():
            good.append(f"postgresql://{account}@[::1]:{port}/tasks")
        bad = {
            f"postgresql://{account}@127.0.0.1:{hung}/tasks": "database: .*: TimeoutError",
            f"postgresql://{account}@127.0.0.1:{closed}/tasks": "database: .*: ConnectionRefused",
            f"postgresql://{account}@{HOST}:{port}/missing": "database: .*does not exist",
            f"postgresql://{account}@{HOST}:{port}/closed": "database: .*CONNECT privilege",
            f"postgresql://{account}@127.0.0.1:{closed},{HOST}:{port}/missing": (
                f"database: ConnectionError: 127.0.0.1:{closed}: .*; {HOST}:{port}: .*not exist"
            ),
        }

        cases = [*((url, SERVES) for url in good), *bad.items()]

        found, _ = ask([url for url, _ in cases])

    compare(cases, found)


def has_ipv6() -> bool:
    with suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False
