"""DATABASE_URL means the same as in libpq; an unsupported URL stops the start with one line."""

import asyncio
import getpass
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import text

from app import connections
from app.config import PROJECT, DatabaseSettings, Settings
from app.connections import Connector
from app.database_url import DEFAULT_HOSTS, Target, parse
from app.engine import missing_privileges
from app.models import Base
from tests.engines import engine_for

LOCAL = "postgresql://ann@localhost/tasks"


def read(url: str) -> Target:
    return parse(url, PROJECT)


def rule(url: str) -> str:
    """Return the message with which the URL is rejected."""
    with pytest.raises(ValidationError) as caught:
        DatabaseSettings(database_url=SecretStr(url))
    [error] = caught.value.errors()
    return error["msg"].removeprefix("Value error, ")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the home folder with an empty one."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for name in ("PGPASSWORD", "PGPASSFILE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


# Addresses and accounts


@pytest.mark.parametrize(
    ("address", "hosts"),
    [
        ("localhost", [("localhost", 5432)]),
        ("10.0.0.1:6432", [("10.0.0.1", 6432)]),
        ("[::1]:6432", [("::1", 6432)]),
        ("[fe80::1%25eth0]", [("fe80::1%eth0", 5432)]),
        ("a:1,b,c:3", [("a", 1), ("b", 5432), ("c", 3)]),
        ("%2Frun%2Fpg", [("/run/pg", 5432)]),
        ("a,b/?port=7", [("a", 7), ("b", 7)]),
        ("ignored:1/?host=a,b&port=1,", [("a", 1), ("b", 5432)]),
        ("/?host=/run/pg&port=6", [("/run/pg", 6)]),
        ("", [(host, 5432) for host in DEFAULT_HOSTS]),
        ("?host=", [(host, 5432) for host in DEFAULT_HOSTS]),
    ],
)
def test_hosts_and_ports_are_parsed_as_in_libpq(address: str, hosts: list[tuple[str, int]]) -> None:
    assert list(read(f"postgres://ann@{address}").hosts) == hosts


@pytest.mark.parametrize(
    ("url", "account"),
    [
        # pragma: allowlist nextline secret
        ("postgresql://ann:p%40%3A%2F%3F%23%25@h/my%20db", ("ann", "p@:/?#%", "my db")),
        ("postgresql+asyncpg://ann:p:q@h/a/b", ("ann", "p:q", "a/b")),
        ("postgresql://ann@h", ("ann", None, "ann")),
        ("postgresql://ann:@h/", ("ann", None, "ann")),
        ("postgresql://?user=ann&password=a+b%3D&dbname=d", ("ann", "a+b=", "d")),
        ("postgresql://bob:x@h/y?user=ann&password=p&dbname=d&", ("ann", "p", "d")),
        ("postgresql://", (getpass.getuser(), None, getpass.getuser())),
    ],
)
def test_user_password_and_database_are_parsed_as_in_libpq(
    url: str, account: tuple[str, str | None, str]
) -> None:
    target = read(url)
    password = target.password_for("h", 5432)

    assert (target.arguments["user"], password, target.arguments["database"]) == account


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_all_accepted_schemes_are_normalized_to_postgresql(scheme: str) -> None:
    settings = DatabaseSettings(database_url=SecretStr(f"{scheme}://ann:p@h:1/d?sslmode=require"))

    assert settings.database_url.get_secret_value() == "postgresql://ann:p@h:1/d?sslmode=require"


def test_server_settings_in_the_url_are_passed_on() -> None:
    url = f"{LOCAL}?application_name=a%20b&options=-c%20search_path%3Dx"
    fallback = f"{LOCAL}?fallback_application_name=f"

    assert read(LOCAL).arguments["server_settings"] == {}
    assert read(url).arguments["server_settings"] == {
        "application_name": "a b",
        "options": "-c search_path=x",
    }
    assert read(fallback).arguments["server_settings"] == {"application_name": "f"}


@pytest.mark.parametrize(
    "parameter",
    [
        *("keepalives=1", "keepalives_idle=30", "tcp_user_timeout=1000", "sslcompression=0"),
        *("gssencmode=disable", "gssencmode=prefer", "client_encoding=utf8", "sslsni=1"),
        *("channel_binding=prefer", "channel_binding=disable", "supa=base-pooler.x"),
        *("uselibpqcompat=true", "max_protocol_version=latest", "pgbouncer=false"),
        *("krbsrvname=postgres", "prepared_statements=true", "statement_cache_size=0"),
    ],
)
def test_parameters_without_effect_are_accepted(parameter: str) -> None:
    plain, given = (read(f"{LOCAL}{query}") for query in ("", f"?{parameter}"))

    assert replace(given, tls=plain.tls) == plain


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sslmode=yes", "the parameter sslmode must be disable or allow or "),
        ("ssl=on", "the parameter ssl must be "),
        ("sslmode=", "the parameter sslmode must be "),
        ("application_name", "parameters must be name=value"),
        ("keepalives=abc", "the parameter keepalives must be a whole number"),
        ("gssencmode=require", "the parameter gssencmode must be disable or prefer"),
        ("require_auth=scram-sha-256", "the parameter require_auth is not supported: remove it"),
        ("sslmod=require", "the parameter sslmod is not supported: did you mean sslmode?"),
        ("search_path=x", "the parameter search_path is not supported: write options="),
        ("schema=x", "the parameter schema is not supported: write options="),
        ("connection_limit=1", "the parameter connection_limit .*: set DATABASE_POOL_SIZE"),
        ("statement_cache_size=100", "the parameter statement_cache_size must be 0"),
        ("statement_timeout=5", ".*: set DATABASE_STATEMENT_TIMEOUT_SECONDS"),
        ("service=x", ".* write its settings into the URL"),
        ("hostaddr=1.2.3.4", ".* write the address as the host"),
        ("connect_timeout=soon", "the parameter connect_timeout must be a whole number"),
        ("host=a,b&port=1,2,3", "has 3 ports for 2 hosts"),
        ("port=x", "a port must be a number from 1 to 65535"),
        ("port=65536", "a port must be a number from 1 to 65535"),
        ("port=0", "a port must be a number from 1 to 65535"),
        ("application_name=%zz", "a % must start a UTF-8 byte"),
        ("application_name=%ff", "a % must start a UTF-8 byte"),
        ("application_name=%00", "a % must start a UTF-8 byte"),
        ("MARK%20ER=1", "a parameter is not supported"),
    ],
)
def test_unsupported_parameters_are_rejected_by_name(query: str, expected: str) -> None:
    refused = rule(f"{LOCAL}?{query}")

    assert re.match(expected, refused), refused


@pytest.mark.parametrize("password", ["MARK@ER", "MARK/ER", "MARK?ER", "MARK#ER", "MARK ER"])
def test_password_that_is_not_percent_encoded_is_rejected_and_not_shown(password: str) -> None:
    refused = rule(f"postgresql://ann:{password}@localhost/tasks")

    assert refused.startswith("write space, @, /, ? and # in names and passwords as %20 ")
    assert "MARK" not in refused


@pytest.mark.parametrize("hosts", ["::1", "a:b", "[]", "[::1", "a,[::1]x"])
def test_malformed_hosts_are_rejected(hosts: str) -> None:
    assert rule(f"postgresql://{hosts}").startswith("hosts must be name:port or [IPv6 address]")


def test_url_without_user_is_rejected_if_the_system_user_has_no_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> str:
        raise KeyError

    monkeypatch.setattr(getpass, "getuser", fail)

    assert rule("postgresql://h/d").startswith("must name a user")


def test_repr_does_not_show_the_password() -> None:
    url = "postgresql://ann:MARKER@h/d"  # pragma: allowlist secret
    assert "MARKER" not in repr(read(url))


# TLS


class Loaded:
    """Records what TLS contexts load."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files: list[tuple[Any, ...]] = []
        for name in ("load_cert_chain", "load_verify_locations", "load_default_certs"):
            monkeypatch.setattr(ssl.SSLContext, name, self._noting(name))

    def _noting(self, name: str) -> Callable[..., None]:
        return lambda _, *arguments: self.files.append((name.removeprefix("load_"), *arguments))


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Loaded:
    return Loaded(monkeypatch)


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    """An empty file."""
    path = tmp_path / "file.pem"
    path.touch()
    return path


NONE, CHAIN, FULL = "none", "chain", "full"


def verification(tls: ssl.SSLContext | bool) -> str:
    """Return how far the server's certificate is verified; "off" without TLS."""
    if not isinstance(tls, ssl.SSLContext):
        return "off"
    if tls.verify_mode is ssl.CERT_NONE:
        return NONE
    return FULL if tls.check_hostname else CHAIN


@pytest.mark.parametrize(
    ("query", "ways"),
    [
        ("", [NONE, "off"]),
        ("sslmode=disable", ["off"]),
        ("sslmode=allow", ["off", NONE]),
        ("sslmode=prefer", [NONE, "off"]),
        ("sslmode=require", [NONE]),
        ("ssl=true", [NONE]),
        ("ssl=0", ["off"]),
        ("sslmode=no-verify", [NONE]),
        ("sslmode=verify-ca&sslrootcert={pem}&ssl=true", [CHAIN]),
        ("sslmode=prefer&sslrootcert={pem}", [CHAIN, "off"]),
        ("sslmode=require&sslrootcert={pem}", [CHAIN]),
        ("sslmode=verify-ca&sslrootcert={pem}", [CHAIN]),
        ("sslmode=verify-full&sslrootcert={pem}", [FULL]),
        ("sslmode=verify-full&sslrootcert=system", [FULL]),
        ("sslrootcert=system", [FULL]),
        ("sslmode=require&channel_binding=require", [FULL]),
        ("channel_binding=require&sslrootcert={pem}", [FULL]),
    ],
)
@pytest.mark.usefixtures("loaded")
def test_each_ssl_mode_verifies_as_much_as_in_libpq(pem: Path, query: str, ways: list[str]) -> None:
    target = read(f"{LOCAL}?{query.format(pem=pem)}")

    assert [verification(tls) for tls in target.tls] == ways


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sslmode=verify-ca", "sslmode=verify-ca needs sslrootcert"),
        ("sslmode=verify-full", "sslmode=verify-full needs sslrootcert"),
        ("sslmode=require&sslrootcert=system", "with sslrootcert=system the parameter sslmode"),
        ("sslmode=disable&channel_binding=require", "channel_binding=require needs TLS"),
        ("sslmode=verify-ca&channel_binding=require", "sslmode=verify-ca needs sslrootcert"),
        ("host=/run/pg&channel_binding=require", "channel_binding=require needs TLS, which a Unix"),
        ("sslnegotiation=direct&channel_binding=require", "sslnegotiation=direct needs sslmode="),
        ("sslnegotiation=direct", "sslnegotiation=direct needs sslmode=require"),
        ("sslkey={pem}", "the parameter sslkey needs sslcert"),
        ("sslcert={pem}", "the file of sslcert or sslkey cannot be used: .*file.pem: "),
        ("sslrootcert={pem}", "the file of sslrootcert cannot be used: .*file.pem: "),
        ("sslcrl={pem}", "the file of sslcrl cannot be used: .*file.pem: "),
        ("sslcert=no.crt", f"the file of sslcert cannot be used: {PROJECT / 'no.crt'}: No such"),
        ("passfile=no", "the file of passfile cannot be used: "),
        ("ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2", "ssl_min_protocol_"),
    ],
)
def test_contradictory_tls_parameters_and_unusable_files_are_rejected(
    pem: Path, query: str, expected: str
) -> None:
    refused = rule(f"{LOCAL}?{query.format(pem=pem)}")

    assert re.match(expected, refused), refused


def test_files_named_in_the_url_are_loaded(loaded: Loaded, pem: Path) -> None:
    files = "&".join(f"{name}={pem}" for name in ("sslrootcert", "sslcert", "sslkey", "sslcrl"))
    [tls] = read(f"{LOCAL}?sslmode=require&{files}&sslpassword=p").tls

    assert isinstance(tls, ssl.SSLContext)
    assert tls.verify_flags & ssl.VERIFY_CRL_CHECK_CHAIN
    assert loaded.files == [
        ("verify_locations", pem),
        ("verify_locations", pem),
        ("cert_chain", pem, pem, "p"),
    ]


def test_default_files_in_the_home_folder_are_loaded_as_in_libpq(
    loaded: Loaded, home: Path
) -> None:
    folder = home / ".postgresql"
    folder.mkdir()
    for name in ("root.crt", "postgresql.crt", "postgresql.key"):
        (folder / name).touch()
    [tls] = read(f"{LOCAL}?sslmode=require").tls

    assert verification(tls) == CHAIN
    assert loaded.files == [
        ("verify_locations", folder / "root.crt"),
        ("cert_chain", folder / "postgresql.crt", folder / "postgresql.key", ""),
    ]


def test_channel_binding_never_uses_a_socket() -> None:
    query = "channel_binding=require"

    assert read(f"postgresql://ann@/d?{query}").hosts == (("localhost", 5432),)
    assert read(f"postgresql://ann@%2Frun%2Fpg,h/d?{query}").hosts == (("h", 5432),)


def test_sslcertmode_disable_does_not_load_the_client_certificate(
    loaded: Loaded, pem: Path
) -> None:
    read(f"{LOCAL}?sslcert={pem}&sslcertmode=disable")

    assert loaded.files == []


def test_user_without_home_folder_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "expanduser", fail)

    assert read(LOCAL).password_for("localhost", 5432) is None
    assert verification(read(LOCAL).tls[0]) == NONE


def test_minimum_tls_version_and_direct_negotiation_are_honored() -> None:
    [tls] = read(f"{LOCAL}?sslmode=require&ssl_min_protocol_version=TLSv1.3").tls

    assert isinstance(tls, ssl.SSLContext)
    assert tls.minimum_version is ssl.TLSVersion.TLSv1_3
    assert read(f"{LOCAL}?sslmode=require&sslnegotiation=direct").arguments["direct_tls"]


@pytest.mark.skipif(os.name != "posix", reason="files have no modes")
def test_password_file_readable_by_other_users_is_rejected(pem: Path) -> None:
    pem.chmod(0o644)
    refused = rule(f"{LOCAL}?passfile={pem}")
    pem.chmod(0o600)

    assert refused == f"other users can read the file of passfile: run chmod 600 {pem}"
    read(f"{LOCAL}?passfile={pem}")


@pytest.mark.parametrize(
    ("host", "port", "password"),
    [
        ("a", 1, r"p:q\r"),
        ("a", 2, "any port"),
        ("::1", 5432, "by address"),
        ("/run/pg", 5432, "by socket"),
        ("b", 5432, None),
    ],
)
def test_password_comes_from_the_first_matching_line(
    pem: Path, host: str, port: int, password: str | None
) -> None:
    lines = (
        *(
            "# a:*:*:*:comment",
            "nonsense",
            "a:1:tasks:bob:another user",
            "*:*:x:*:another database",
        ),
        *(r"a:1:tasks:ann:p\:q\\r", "a:*:*:ann:any port", r"\:\:1:5432:*:*:by address"),
        "localhost:5432:tasks:ann:by socket",
    )
    pem.write_text("\n".join(lines))
    pem.chmod(0o600)

    assert read(f"{LOCAL}?passfile={pem}").password_for(host, port) == password
    assert read(f"{LOCAL}?passfile={pem}&password=own").password_for(host, port) == "own"


@pytest.mark.parametrize("variable", ["PGPASSFILE", ""])
def test_default_password_file_is_read_if_the_url_has_no_password(
    monkeypatch: pytest.MonkeyPatch, home: Path, variable: str
) -> None:
    path = home / (variable or ".pgpass")
    path.write_text(r"h:*:*:ann:p\:q\\r")
    path.chmod(0o600)
    if variable:
        monkeypatch.setenv(variable, str(path))

    assert read("postgresql://ann@h/d").password_for("h", 5432) == r"p:q\r"
    with_password = "postgresql://ann:own@h/d"  # pragma: allowlist secret
    assert read(with_password).passwords == ()
    monkeypatch.setenv("PGPASSWORD", "more")
    assert read("postgresql://ann@h/d").password_for("h", 5432) == "more"


@pytest.mark.skipif(os.name != "posix", reason="files have no modes")
@pytest.mark.parametrize("state", ["missing", "a folder", "open to others"])
def test_default_password_file_that_cannot_be_used_is_ignored(home: Path, state: str) -> None:
    path = home / ".pgpass"
    if state == "a folder":
        path.mkdir(mode=0o700)
    elif state == "open to others":
        path.write_text("*:*:*:*:x")
        path.chmod(0o644)

    assert read(LOCAL).passwords == ()


def test_password_file_that_is_not_utf8_is_rejected_by_name(
    monkeypatch: pytest.MonkeyPatch, pem: Path
) -> None:
    pem.write_bytes(b"*:*:*:*:\xe9")
    pem.chmod(0o600)

    assert rule(f"{LOCAL}?passfile={pem}").startswith("the file of passfile cannot be used: ")
    monkeypatch.setenv("PGPASSFILE", str(pem))
    assert rule(LOCAL) == f"the file of PGPASSFILE cannot be used: {pem}: not UTF-8"


# Connecting


async def test_environment_has_no_effect_on_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    consulted = []
    getenv = os.environ.get

    def note(name: str, default: str | None = None) -> str | None:
        consulted.append(name)
        return getenv(name, default)

    accepted = read("postgresql://ann@127.0.0.1:1/d?sslmode=disable")
    monkeypatch.setattr(os.environ, "get", note)

    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:1: "):
        await Connector(accepted).connect(5)

    # asyncpg reads PGSERVICE, but uses it only with a DSN.
    assert {name for name in consulted if name.startswith("PG")} <= {"PGSERVICE"}


def connector(hosts: str, query: str = "sslmode=disable") -> Connector:
    return Connector(read(f"postgresql://ann@{hosts}/tasks?{query}"))


@pytest.mark.parametrize("name", ["a..b", ".", "a" * 64])
async def test_host_with_an_impossible_name_is_unreachable(name: str) -> None:
    with pytest.raises(ConnectionError, match=r"Unicode\w*Error"):
        await connector(name).connect(5)


class Driver:
    """A fake driver. `raises` has for each host the errors of its attempts; None is a success."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **raises: list[Exception | None]) -> None:
        self.tried: list[str] = []
        self.opened: list[Connection] = []
        self.asked: list[str] = []
        self.raises = raises
        monkeypatch.setattr(asyncpg, "connect", self._connect)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])

    async def _connect(self, *, host: str, ssl: object, **_: object) -> "Connection":
        self.tried.append(f"{host} tls" if ssl else host)
        if host.startswith("silent"):
            await asyncio.sleep(60)
        if host == "slow":
            await asyncio.sleep(2 * connections.HEAD_START)
        error = self.raises[host].pop(0) if self.raises.get(host) else None
        if error:
            raise error
        self.opened.append(Connection(host, self))
        return self.opened[-1]

    def left_open(self) -> list[str]:
        return [connection.host for connection in self.opened if connection.is_open]


class Connection:
    """A connection of the fake driver. Hosts with `replica` in their name are not writable."""

    def __init__(self, host: str, driver: Driver) -> None:
        self.host, self._driver, self.is_open = host, driver, True

    async def execute(self, sql: str) -> str:
        self._driver.asked.append(sql)
        await asyncio.sleep(0)
        if self.host == "silently_checked":
            await asyncio.sleep(60)
        return f"SELECT {0 if 'replica' in self.host else 1}"

    def terminate(self) -> None:
        self.is_open = False


async def host_of(opening: Connector, seconds: float = 5) -> str:
    """Return the host that a new connection goes to."""
    connection: Connection = await opening.connect(seconds)
    return connection.host


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        OSError("no such name"),
        asyncpg.CannotConnectNowError("starting up"),
        asyncpg.ConnectionDoesNotExistError("a proxy has no server"),
        asyncpg.InternalClientError("not PostgreSQL's protocol"),
        asyncpg.TooManyConnectionsError("full"),
    ],
)
async def test_next_host_is_tried_at_once_after_an_unavailable_one(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(connections, "HEAD_START", 10)
    driver = Driver(monkeypatch, a=[error])

    async with asyncio.timeout(5):
        host = await host_of(connector("a,replica,c"), 60)

    assert host == "c"
    assert driver.tried == ["a", "replica", "c"]
    assert driver.left_open() == ["c"]


@pytest.mark.parametrize("number", [1, 2, 3, 4])
async def test_hosts_that_hang_delay_the_connection_only_briefly(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(connections, "HEAD_START", 0.05)
    silent = ",".join(f"silent{number}" for number in range(number))
    driver, before = Driver(monkeypatch), asyncio.all_tasks()

    async with asyncio.timeout(number * 0.05 + 1):
        host = await host_of(connector(f"{silent},a"), 10)
    monkeypatch.setattr(connections, "HEAD_START", 1)
    within_less = await host_of(connector(f"{silent},a"), 1)

    assert host == within_less == "a"
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    assert driver.left_open() == ["a", "a"]


async def test_host_that_hangs_after_the_login_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(monkeypatch)

    assert await host_of(connector("silently_checked,a")) == "a"
    await asyncio.sleep(0)
    assert driver.left_open() == ["a"]


async def test_host_that_worked_last_is_tried_first(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(monkeypatch)
    several = connector("silent,replica,c,d")

    async with asyncio.timeout(2):
        hosts = [await host_of(several) for _ in range(5)]
        driver.raises["c"] = [OSError("gone")]
        hosts += [await host_of(several) for _ in range(5)]

    assert hosts == ["c"] * 5 + ["d"] * 5


async def test_host_that_works_again_after_all_had_failed_is_tried_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = Driver(monkeypatch, a=[OSError(), OSError()], b=[OSError()])
    several = connector("a,b")

    with pytest.raises(ConnectionError):
        await several.connect(1)
    hosts = [await host_of(several) for _ in range(2)]

    assert hosts == ["b", "b"]
    assert driver.tried == ["a", "b", "a", "b", "b"]


async def test_host_that_is_named_twice_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(monkeypatch)

    assert await host_of(connector("replica,replica:5432,a")) == "a"
    assert driver.tried == ["replica", "a"]


@pytest.mark.parametrize("steps", range(12))
async def test_all_connections_opened_at_the_same_moment_but_one_are_closed(
    monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr(connections, "HEAD_START", 0)
    driver, before = Driver(monkeypatch), asyncio.all_tasks()
    several = connector("", "sslmode=disable&host=/a,/b,/c")  # without lookups
    opening: asyncio.Task[Connection] = asyncio.create_task(several.connect(5))
    for _ in range(steps):
        await asyncio.sleep(0)
    opening.cancel()
    [result] = await asyncio.gather(opening, return_exceptions=True)
    for _ in range(5):
        await asyncio.sleep(0)

    expected = [result.host] if isinstance(result, Connection) else []
    assert driver.left_open() == expected
    assert asyncio.all_tasks() == before


async def test_name_whose_lookup_hangs_leaves_threads_for_other_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "HEAD_START", 0)
    Driver(monkeypatch)
    answers, asked = threading.Event(), []

    def getaddrinfo(name: str, *_: object, **__: object) -> list[Any]:
        asked.append(name)
        if name.startswith("lost"):
            answers.wait(10)
            raise socket.gaierror("no answer")
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    several = connector("lost,lost2,a")
    try:
        hosts = await asyncio.gather(*(host_of(several, 2) for _ in range(50)))
    finally:
        answers.set()
    await asyncio.sleep(0.05)
    with pytest.raises(ConnectionError, match=r"lost2?:5432: gaierror: no answer; lost"):
        await connector("lost,lost2").connect(2)

    assert hosts == ["a"] * 50
    assert asked.count("lost") == 2


async def test_connect_timeout_limits_the_wait_for_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    Driver(monkeypatch)

    with pytest.raises(ConnectionError, match="silent:5432: TimeoutError: no response in time"):
        await connector("silent", "sslmode=disable&connect_timeout=1").connect(60)


async def test_error_names_each_host_and_its_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    Driver(monkeypatch, a=[OSError("first")])

    with pytest.raises(ConnectionError) as caught:
        await connector("a,replica,silent").connect(0.5)

    assert str(caught.value) == (
        "a:5432: OSError: first; "
        "replica:5432: ReadOnlySQLTransactionError: the server is a replica or read-only; "
        "silent:5432: TimeoutError: no response in time"
    )


async def test_rejected_password_is_not_sent_to_other_hosts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = Driver(monkeypatch, a=[asyncpg.InvalidPasswordError("no")])

    async with asyncio.timeout(1):
        with pytest.raises(ConnectionError, match=r"^a:5432: InvalidPasswordError: no$"):
            await connector("a,b", "sslmode=require").connect(5)

    assert driver.tried == ["a tls"]


async def test_slow_host_can_still_be_the_primary_after_another_rejected_the_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "HEAD_START", 0.2)
    driver = Driver(monkeypatch, b=[asyncpg.InvalidPasswordError("no")])

    assert await host_of(connector("slow,b,c")) == "slow"
    assert driver.tried == ["slow", "b"]


@pytest.mark.parametrize(("mode", "tried"), [("prefer", ["a tls", "a"]), ("allow", ["a", "a tls"])])
async def test_optional_tls_is_tried_with_and_without_in_order(
    monkeypatch: pytest.MonkeyPatch, mode: str, tried: list[str]
) -> None:
    driver = Driver(monkeypatch, a=[asyncpg.InvalidAuthorizationSpecificationError("no entry")])

    assert await host_of(connector("a,b", f"sslmode={mode}")) == "a"
    assert driver.tried == tried


@pytest.mark.parametrize(
    ("first", "shown"),
    [(asyncpg.InvalidPasswordError("password"), "password"), (OSError("no TLS"), "no entry")],
)
async def test_wrong_password_is_reported_rather_than_missing_access_without_tls(
    monkeypatch: pytest.MonkeyPatch, first: Exception, shown: str
) -> None:
    Driver(monkeypatch, a=[first, asyncpg.InvalidAuthorizationSpecificationError("no entry")])

    with pytest.raises(ConnectionError, match=shown):
        await connector("a", "").connect(1)


@pytest.mark.parametrize(
    ("address", "condition"),
    [
        ("a/tasks?", "NOT pg_is_in_recovery()"),
        ("a/tasks?target_session_attrs=any", "NOT pg_is_in_recovery()"),
        ("a,b/tasks?target_session_attrs=primary", "NOT pg_is_in_recovery()"),
        ("a/tasks?target_session_attrs=read-write", "current_setting('transaction_read_only')"),
        ("a,b/tasks?", "current_setting('transaction_read_only')"),
        ("/tasks?host=a,b&port=1,2", "current_setting('transaction_read_only')"),
        ("a,b/tasks?target_session_attrs=any", "current_setting('transaction_read_only')"),
    ],
)
async def test_replica_is_never_used(
    monkeypatch: pytest.MonkeyPatch, address: str, condition: str
) -> None:
    driver = Driver(monkeypatch)

    await Connector(read(f"postgresql://ann@{address}&sslmode=disable")).connect(1)

    assert driver.asked == [driver.asked[0]]
    assert condition in driver.asked[0]


async def test_load_balance_hosts_random_tries_hosts_in_random_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Driver(monkeypatch)
    several = connector("a,b,silent,c", "sslmode=disable&load_balance_hosts=random")
    several._failed = {("silent", 5432)}  # so that none of them waits for it

    assert {await host_of(several) for _ in range(100)} == {"a", "b", "c"}


# The real database

TABLE = Base.metadata.sorted_tables[0].name


async def missing_after(settings: Settings, *statements: str) -> Sequence[str]:
    """Return the missing privileges after these statements, which are rolled back."""
    engine = engine_for(settings.database_url.get_secret_value())
    async with engine.connect() as connection:
        for statement in statements:
            await connection.execute(text(statement))
        missing = await connection.scalars(missing_privileges([TABLE]))
    await engine.dispose()
    return missing.all()


@pytest.mark.usefixtures("service")
async def test_missing_table_privileges_are_named(settings: Settings) -> None:
    missing = await missing_after(
        settings,
        "CREATE ROLE without_privileges",
        f"GRANT SELECT, DELETE ON {TABLE} TO without_privileges",
        "SET LOCAL ROLE without_privileges",
    )

    assert missing == [f"INSERT on {TABLE}", f"UPDATE on {TABLE}"]


@pytest.mark.usefixtures("service")
async def test_missing_usage_on_every_schema_is_named(settings: Settings) -> None:
    missing = await missing_after(settings, "SET LOCAL search_path = nowhere")

    assert missing == ["USAGE on a schema of search_path"]
