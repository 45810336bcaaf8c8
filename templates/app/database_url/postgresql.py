"""Parse DATABASE_URL, in every form that libpq accepts, into arguments for asyncpg.

Each parameter is honored, ignored because it makes no difference here, or rejected by name. Of
libpq's other sources, only PGPASSWORD, PGPASSFILE, ~/.pgpass and the files in ~/.postgresql fill in
what the URL leaves out. https://www.postgresql.org/docs/current/libpq-connect.html
"""

import getpass
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

SCHEMES = ("postgresql", "postgres", "postgresql+asyncpg")
# Where libpq's builds look for the server if the URL names no host.
DEFAULT_HOSTS = ("/run/postgresql", "/var/run/postgresql", "/tmp", "localhost")  # noqa: S108

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3", "")
# As in libpq, an empty value means the default only if the choices include it.
CHOICES: dict[str, tuple[str, ...]] = {
    "sslmode": (*SSL_MODES, "no-verify"),
    "ssl": (*SSL_MODES, "true", "1", "false", "0"),  # JDBC's and SQLAlchemy's name
    "sslnegotiation": ("postgres", "direct"),
    "ssl_min_protocol_version": TLS_VERSIONS,
    "ssl_max_protocol_version": TLS_VERSIONS,
    "channel_binding": ("disable", "prefer", "require"),
    "target_session_attrs": ("any", "read-write", "primary"),  # the service writes
    "load_balance_hosts": ("disable", "random"),
    "pgbouncer": ("true", "false"),
    "prepared_statements": ("true", "false"),
    "statement_cache_size": ("0",),
    "prepared_statement_cache_size": ("0",),
    # libpq accepts more values for these parameters; the service supports only some.
    "client_encoding": ("utf8", "utf-8", "UTF8", "UTF-8", "unicode", "UNICODE", "auto", ""),
    "gssencmode": ("disable", "prefer"),
    "min_protocol_version": ("3.0",),
    "max_protocol_version": ("3.0", "3.2", "latest"),
    "sslcertmode": ("disable", "allow"),
    "sslsni": ("1",),
}
NUMBERS = {
    *("connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval"),
    *("keepalives_count", "tcp_user_timeout"),
}
HONORED = {
    *("host", "port", "dbname", "user", "password", "passfile"),
    *("application_name", "fallback_application_name", "options"),
    *("sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl"),
}
# Parameters without an effect: labels, or requests for the default behavior. The NUMBERS of
# keepalives have no effect either: each statement's deadline detects a dead connection first.
WITHOUT_EFFECT = {
    *("sslcompression", "supa", "uselibpqcompat"),
    *("gssdelegation", "gsslib", "krbsrvname"),  # Kerberos is never used
}
# Other drivers' names for these modes.
SSL_WORDS = {
    "true": "require",
    "1": "require",
    "no-verify": "require",
    "false": "disable",
    "0": "disable",
}
# How providers and drivers state that a pooler does not support prepared statements.
TRANSACTION_POOLING = {
    "pgbouncer": "true",
    "prepared_statements": "false",
    "statement_cache_size": "0",
    "prepared_statement_cache_size": "0",
}
INSTEAD = {
    "connection_limit": "set DATABASE_POOL_SIZE",
    "pool_size": "set DATABASE_POOL_SIZE",
    "pool_timeout": "set DATABASE_POOL_TIMEOUT_SECONDS",
    "command_timeout": "set DATABASE_STATEMENT_TIMEOUT_SECONDS",
    "socket_timeout": "set DATABASE_STATEMENT_TIMEOUT_SECONDS",
    "statement_timeout": "set DATABASE_STATEMENT_TIMEOUT_SECONDS",
    "schema": "write options=-csearch_path%3D and the name of the schema",
    "search_path": "write options=-csearch_path%3D and the name of the schema",
    "hostaddr": "write the address as the host",
    "service": "write its settings into the URL",
    "servicefile": "write its settings into the URL",
    "sslaccept": "use sslmode and sslrootcert",
    "sslcrldir": "use sslcrl",
}

Tls = ssl.SSLContext | Literal[False]


@dataclass(frozen=True)
class Target:
    """Where and how to connect."""

    hosts: tuple[tuple[str, int], ...]
    """Names, addresses or socket folders, with their ports, in the order to try them."""
    in_random_order: bool
    requirement: Literal["primary", "read-write"]
    """The required role of the server. `primary` includes a read-only primary."""
    host_timeout: float | None
    """Seconds for each host."""
    tls: tuple[Tls, ...]
    """What to try with each host, in this order: a TLS context, or False for no TLS."""
    arguments: Mapping[str, Any]
    """More arguments for `asyncpg.connect`."""
    password: str | None = field(repr=False)
    passwords: tuple[tuple[str, ...], ...] = field(repr=False)
    """The lines of the password file: host, port, database, user, password."""

    def password_for(self, host: str, port: int) -> str | None:
        """Return the password that was given, or the first one in the file that matches."""
        if self.password:
            return self.password
        where = "localhost" if host.startswith("/") else host
        wanted = (where, str(port), self.arguments["database"], self.arguments["user"])
        for *line, password in self.passwords:
            if all(one in ("*", other) for one, other in zip(line, wanted, strict=True)):
                return password
        return None


def normalized(url: str, folder: Path) -> str:
    """Return the URL with the scheme `postgresql`. Raises ValueError if it cannot be honored."""
    parse(url, folder)
    return f"postgresql://{url.partition('://')[2]}"


def parse(url: str, folder: Path) -> Target:
    """Return how to connect. Relative file names are relative to `folder`.

    Raises ValueError if the URL cannot be honored; the message never contains the URL.
    """
    given = _parameters(url)
    names = {name: given[name] for name in ("application_name", "options") if given.get(name)}
    if fallback := given.get("fallback_application_name"):
        names.setdefault("application_name", fallback)
    mode = _ssl_mode(given)
    context = _ssl_context(given, mode, folder)
    ways: dict[str, tuple[Tls, ...]] = {
        "disable": (False,),
        "allow": (False, context),
        "prefer": (context, False),
    }
    user = given.get("user") or _system_user()
    password = given.get("password") or os.environ.get("PGPASSWORD")
    return Target(
        hosts=tuple(_hosts(given)),
        in_random_order=given.get("load_balance_hosts") == "random",
        requirement=_requirement(given),
        host_timeout=max(int(given.get("connect_timeout", 0)), 0) or None,
        tls=ways.get(mode, (context,)),
        arguments={
            "user": user,
            "database": given.get("dbname") or user,
            "direct_tls": given.get("sslnegotiation") == "direct",
            "server_settings": names,
            # Otherwise asyncpg would read PGKRBSRVNAME and PGGSSLIB.
            "krbsrvname": "postgres",
            "gsslib": "gssapi",
        },
        password=password,
        passwords=tuple(_passwords(given, folder, needed=not password)),
    )


def names_transaction_pooler(url: str) -> bool:
    """Return whether the URL has a parameter equivalent to DATABASE_TRANSACTION_POOLING=true."""
    given = _parameters(url)
    return any(given.get(name) == value for name, value in TRANSACTION_POOLING.items())


def _parameters(url: str) -> dict[str, str]:
    """Return the parts of the URL by libpq's parameter names; the last value of a name wins."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in SCHEMES:
        raise ValueError("must be a postgresql:// URL")
    address, _, query = rest.partition("?")
    authority, _, database = address.partition("/")
    account, _, hosts = authority.rpartition("@")
    # One of these in a password splits the URL in the wrong place. This check comes first, because
    # the messages below could show part of the password.
    if re.search(r"[\s\x00-\x1f\x7f-\x9f\ufeff#]", rest) or "@" in account + database + query:
        raise ValueError("write space, @, /, ? and # in names and passwords as %20 %40 %2F %3F %23")
    user, _, password = account.partition(":")
    names, ports = _split(hosts)
    given = {"user": user, "password": password, "dbname": database, "host": names, "port": ports}
    given = {name: _decoded(value) for name, value in given.items() if value}
    for pair in filter(None, query.split("&")):
        name, separator, value = (_decoded(part) for part in pair.partition("="))
        if not separator:
            raise ValueError("parameters must be name=value")
        given[name] = value
    for name, value in given.items():
        _check(name, value)
    if mode := given.get("sslmode") or given.pop("ssl", ""):
        given["sslmode"] = SSL_WORDS.get(mode, mode)
    return given


def _split(hosts: str) -> tuple[str, str]:
    """Return the names and the ports of `name:port,[address]:port`, each comma-separated."""
    found = [re.fullmatch(r"(\[[^]]+]|[^]:[]*)(?::([0-9]*))?", host) for host in hosts.split(",")]
    pairs = [(match[1].strip("[]"), match[2] or "") for match in found if match]
    if len(pairs) < len(found):
        raise ValueError("hosts must be name:port or [IPv6 address]:port, separated by commas")
    names, ports = zip(*pairs, strict=True)
    return ",".join(names), ",".join(ports).strip(",") and ",".join(ports)


def _decoded(text: str) -> str:
    try:
        if re.search(r"%(?![0-9A-Fa-f]{2})|%00", text):
            raise ValueError
        return unquote(text, errors="strict")  # a + stays a +, as in libpq
    except ValueError:
        raise ValueError("a % must start a UTF-8 byte such as %40; write %25 for a %") from None


def _check(name: str, value: str) -> None:
    if name in INSTEAD:
        raise ValueError(f"the parameter {name} is not supported: {INSTEAD[name]}")
    if name in CHOICES:
        if value not in CHOICES[name]:
            choices = " or ".join(filter(None, CHOICES[name]))
            raise ValueError(f"the parameter {name} must be {choices}")
    elif name in NUMBERS:
        if not re.fullmatch(r"-?[0-9]{1,9}", value):
            raise ValueError(f"the parameter {name} must be a whole number")
    elif name not in HONORED | WITHOUT_EFFECT:
        named = f"the parameter {name}" if re.fullmatch(r"\w{1,40}", name) else "a parameter"
        known = CHOICES.keys() | NUMBERS | HONORED | WITHOUT_EFFECT
        similar = get_close_matches(name, sorted(known), n=1)
        advice = f"did you mean {similar[0]}?" if similar else "remove it"
        raise ValueError(f"{named} is not supported: {advice}")


def _hosts(given: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    names, ports = (given.get(name, "").split(",") for name in ("host", "port"))
    if len(ports) == 1:
        ports *= len(names)
    if len(ports) != len(names):
        raise ValueError(
            f"has {len(ports)} ports for {len(names)} hosts: give one, or one for each"
        )
    needs_tls = given.get("channel_binding") == "require"
    if needs_tls and all(name.startswith("/") for name in names):
        raise ValueError("channel_binding=require needs TLS, which a Unix socket does not have")
    for name, port in zip(names, ports, strict=True):
        if not re.fullmatch(r"[0-9]{0,5}", port) or int(port or 1) not in range(1, 65_536):
            raise ValueError("a port must be a number from 1 to 65535")
        for host in (name,) if name else DEFAULT_HOSTS:
            if not (needs_tls and host.startswith("/")):
                yield host, int(port or 5432)


def _requirement(given: Mapping[str, str]) -> Literal["primary", "read-write"]:
    attributes = given.get("target_session_attrs", "any")
    has_several_hosts = "," in given.get("host", "")
    if attributes == "read-write" or (attributes == "any" and has_several_hosts):
        return "read-write"
    return "primary"


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise ValueError("must name a user: the system user of this process has no name") from None


def _ssl_mode(given: Mapping[str, str]) -> str:
    """Return the effective `sslmode`."""
    system = given.get("sslrootcert") == "system"
    mode = given.get("sslmode", "verify-full" if system else "prefer")
    if system and mode != "verify-full":
        raise ValueError("with sslrootcert=system the parameter sslmode must be verify-full")
    if given.get("sslnegotiation") == "direct" and mode in ("disable", "allow", "prefer"):
        raise ValueError("sslnegotiation=direct needs sslmode=require, verify-ca or verify-full")
    if given.get("channel_binding") == "require":
        # asyncpg does not support channel binding. Verifying the certificate in full gives the
        # same guarantee: no man in the middle.
        if mode == "disable":
            raise ValueError("channel_binding=require needs TLS: remove sslmode=disable")
        return "verify-full"
    return mode


def _ssl_context(given: Mapping[str, str], mode: str, folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["postgresql"])
    oldest, newest = (
        given.get(f"ssl_{end}_protocol_version") or version
        for end, version in (("min", "TLSv1.2"), ("max", "TLSv1.3"))
    )
    if oldest > newest:
        raise ValueError("ssl_min_protocol_version must not be above ssl_max_protocol_version")
    context.minimum_version = ssl.TLSVersion[oldest.replace(".", "_")]
    context.maximum_version = ssl.TLSVersion[newest.replace(".", "_")]
    _verify(context, given, mode, folder)
    certificate, key = (_file(given, name, folder) for name in ("sslcert", "sslkey"))
    if certificate and given.get("sslcertmode") != "disable":
        with _naming("sslcert or sslkey", key or certificate):
            context.load_cert_chain(certificate, key, given.get("sslpassword", ""))
    elif given.get("sslkey") and not certificate:
        raise ValueError("the parameter sslkey needs sslcert")
    return context


def _verify(context: ssl.SSLContext, given: Mapping[str, str], mode: str, folder: Path) -> None:
    """Verify the server's certificate if the mode requires it or a root certificate exists."""
    context.check_hostname = mode == "verify-full"
    system = given.get("sslrootcert") == "system"
    if not system and (root := _file(given, "sslrootcert", folder)):
        with _naming("sslrootcert", root):
            context.load_verify_locations(root)
    elif (asked := given.get("sslmode", "")).startswith("verify") and not system:
        raise ValueError(f"sslmode={asked} needs sslrootcert: the name of a file, or system")
    elif system or given.get("channel_binding") == "require":
        context.load_default_certs()
    else:
        context.verify_mode = ssl.CERT_NONE
    if revoked := _file(given, "sslcrl", folder):
        with _naming("sslcrl", revoked):
            context.load_verify_locations(revoked)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


def _passwords(
    given: Mapping[str, str], folder: Path, *, needed: bool
) -> Iterator[tuple[str, ...]]:
    """Yield the fields of each line. asyncpg could read the file, but would keep backslashes."""
    source, path = "passfile", _file(given, "passfile", folder)
    if needed and not path:
        source = "PGPASSFILE" if os.environ.get("PGPASSFILE") else "~/.pgpass"
        path = _default_file(os.environ.get("PGPASSFILE") or "~/.pgpass")
        if path and (not path.is_file() or _is_open(path.stat().st_mode)):
            path = None  # like libpq, which warns
    if not path:
        return
    with _naming(source, path):
        text = path.read_text(encoding="utf-8")
    for line in text.split("\n"):
        fields = re.fullmatch(r"((?:\\.|[^\\:])*):" * 4 + "(.*)", line)
        if fields and not line.startswith("#"):
            yield tuple(re.sub(r"\\(.)", r"\1", each) for each in fields.groups())


DEFAULT_FILES = {
    "sslrootcert": "~/.postgresql/root.crt",
    "sslcrl": "~/.postgresql/root.crl",
    "sslcert": "~/.postgresql/postgresql.crt",
    "sslkey": "~/.postgresql/postgresql.key",
}


def _file(given: Mapping[str, str], parameter: str, folder: Path) -> Path | None:
    """Return the path of a parameter's file, or of libpq's default file if it can be read."""
    if name := given.get(parameter):
        with _naming(parameter, path := folder / name), path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
        if parameter == "passfile" and _is_open(mode):
            raise ValueError(f"other users can read the file of passfile: run chmod 600 {path}")
        return path
    return _default_file(DEFAULT_FILES[parameter]) if parameter in DEFAULT_FILES else None


def _default_file(name: str) -> Path | None:
    """Return the path of this file if it can be read."""
    try:
        path = Path(name).expanduser()
    except RuntimeError:  # the user has no home
        return None
    return path if os.access(path, os.R_OK) else None


def _is_open(mode: int) -> bool:
    """Return whether other users may use a file of this mode."""
    return os.name == "posix" and bool(mode & 0o077)


@contextmanager
def _naming(parameter: str, path: Path) -> Iterator[None]:
    """Turn an OSError, TLS errors included, and bytes that are not UTF-8 into a ValueError.

    The message names the parameter and the file.
    """
    try:
        yield
    except (OSError, UnicodeDecodeError) as error:
        strerror = "not UTF-8" if isinstance(error, UnicodeError) else error.strerror
        reason = strerror or type(error).__name__
        shown = " ".join(str(path).splitlines())
        raise ValueError(f"the file of {parameter} cannot be used: {shown}: {reason}") from None
