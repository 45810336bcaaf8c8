"""The frontend accepts the same DATABASE_URL and the same .env files as the service."""

from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from time import monotonic
from urllib.parse import quote

import pytest

from lab.faults.processes import children, frozen
from lab.providers.conftest import NewFolder
from lab.providers.frontends import Frontend, parallel
from lab.providers.servers import (
    PASSWORD,
    USER,
    Authority,
    PgBouncer,
    Postgres,
    Replica,
    hanging,
    own,
)
from lab.servers import free_ports, wait_until

TABLES = ["account", "jwks", "session", "user", "verification"]
UNREACHABLE = "no server responds at DATABASE_URL. `make run` in the folder above starts one"

# Each prints, from one process, the outcome of every URL or file: parsePostgresUrl's error or "",
# and checkSettings' error or the value of A as Next reads it.
PARSING = """
import { parsePostgresUrl } from "./lib/postgresql/url";
const said = (url: string) => {
  try { parsePostgresUrl(url); } catch (error) { return (error as Error).message; }
  return "";
};
console.log(JSON.stringify(JSON.parse(process.argv[2] ?? "").map(said)));
"""
CHECKING = """
import { writeFileSync } from "node:fs";
import nextEnv from "@next/env";
import { checkSettings } from "./scripts/settings.mjs";
const found = (bytes) => {
  nextEnv.resetEnv();
  writeFileSync(".env", Buffer.from(bytes, "base64"));
  try { checkSettings("production"); } catch (error) { return error.message; }
  return nextEnv.loadEnvConfig(".", false, { info() {}, error() {} }, true).parsedEnv.A;
};
const { env } = process;
nextEnv.loadEnvConfig("/nonexistent", false);
console.log(JSON.stringify(JSON.parse(process.argv[2]).map(found)));
"""


@pytest.fixture(scope="session")
def client_files(new_folder: NewFolder, authority: Authority) -> Path:
    folder = new_folder("clients")
    authority.write_pair(folder, "certified", "certified")
    authority.write_pair(folder, "locked", "certified", password="open")
    (folder / "passwords").write_text(f"*:*:other:{USER}:no\nlocalhost:*:*:{USER}:")
    with (folder / "passwords").open("a") as passwords:
        passwords.write(PASSWORD + "\n")
    (folder / "passwords").chmod(0o600)
    return folder


def schemas(server: Postgres, database: str) -> dict[str, list[str]]:
    """Return the tables of a database, by schema."""
    found: dict[str, list[str]] = {}
    rows = server.sql(
        "SELECT schemaname || '.' || tablename FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1",
        database=database,
    )
    for row in rows.splitlines():
        schema, table = row.split(".")
        found.setdefault(schema, []).append(table)
    return found


def test_every_supported_form_of_database_url_connects(
    frontend: Frontend, tls_server: Postgres, plain_server: Postgres, client_files: Path
) -> None:
    root, [closed] = tls_server.root, free_ports(1)
    for server in (tls_server, plain_server):
        frontend.migrate(server.url(server.database("auth_urls")))
    for role in ("certified", "encrypted", "plain"):
        tls_server.sql(
            f"GRANT USAGE ON SCHEMA auth TO {role}",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA auth TO {role}",
            database="auth_urls",
        )
    certified, locked = client_files / "certified.crt", client_files / "locked.crt"
    account = f"{USER}:{quote(PASSWORD, safe='')}"
    in_url = tls_server.url("auth_urls").replace
    urls = [
        plain_server.url("auth_urls"),
        plain_server.url("auth_urls", {"sslmode": "allow"}),
        in_url("postgresql:", "postgres:"),
        in_url("postgresql:", "postgresql+asyncpg:"),
        f"postgresql:///auth_urls?host={tls_server.folder}&port={tls_server.port}"
        f"&user={USER}&password={quote(PASSWORD, safe='')}",
        in_url("localhost", quote(str(tls_server.folder), safe="")),
        f"postgres://{account}@localhost:{closed},localhost:{tls_server.port}/auth_urls",
        f"postgres://{account}@unknown.invalid,localhost/auth_urls?port={tls_server.port}",
        tls_server.url("auth_urls", user="encrypted"),
        tls_server.url("auth_urls", {"sslmode": "allow"}, user="encrypted"),
        tls_server.url("auth_urls", user="plain"),  # tried with TLS first, then without
        *(
            tls_server.url("auth_urls", parameters, host=host, user=user)
            for host, user, parameters in [
                ("localhost", "encrypted", {"sslmode": "require"}),
                ("localhost", USER, {"sslmode": "verify-full", "sslrootcert": root}),
                ("127.0.0.1", USER, {"sslmode": "verify-ca", "sslrootcert": root}),
                ("127.0.0.1", USER, {"sslmode": "require", "sslrootcert": root}),
                ("localhost", USER, {"sslmode": "require", "channel_binding": "require"}),
                ("localhost", "certified", {"sslmode": "require", "sslcert": certified,
                                            "sslkey": certified.with_suffix(".key")}),
                ("localhost", "certified", {"sslmode": "require", "sslpassword": "open",
                                            "sslcert": locked,
                                            "sslkey": locked.with_suffix(".key")}),
                ("localhost", USER, {"options": "-c search_path=public"}),
                ("localhost", USER, {"application_name": "pages", "connect_timeout": 9,
                                     "keepalives": 1, "keepalives_idle": 30, "pgbouncer": "true",
                                     "target_session_attrs": "read-write"}),
            ]
        ),
    ]  # fmt: skip

    assert parallel(frontend.migrate, urls) == ["0 created, 0 changed"] * len(urls)


def test_password_is_read_from_a_password_file(
    frontend: Frontend, tls_server: Postgres, client_files: Path
) -> None:
    database, passwords = tls_server.database("auth_passfile"), client_files / "passwords"
    url = f"postgresql://{USER}@localhost:{tls_server.port}/{database}"

    assert frontend.migrate(url, PGPASSFILE=str(passwords)) == "5 created, 0 changed"
    assert frontend.migrate(f"{url}?passfile={passwords}") == "0 created, 0 changed"


def test_failed_connection_is_explained_in_one_line(
    frontend: Frontend, authority: Authority, tls_server: Postgres, plain_server: Postgres,
    client_files: Path,
) -> None:  # fmt: skip
    root, [closed] = tls_server.root, free_ports(1)
    for server in (tls_server, plain_server):
        server.database("auth_failures")
    certified, revoked = client_files / "certified.crt", client_files / "revoked.crl"
    authority.write_revocations(revoked, tls_server.folder / "server.crt")
    Authority("Another").write(client_files / "other.crt")
    with hanging() as silent:
        cases = {
            tls_server.url("auth_failures", {"sslrootcert": "system"}): "set sslrootcert to the",
            tls_server.url(
                "auth_failures", {"sslmode": "require", "sslrootcert": client_files / "other.crt"}
            ): "certificate",
            tls_server.url(
                "auth_failures", {"sslmode": "verify-full", "sslrootcert": root}, host="127.0.0.1"
            ): "does not match certificate's altnames",
            tls_server.url(
                "auth_failures",
                {"sslmode": "verify-ca", "sslrootcert": root, "sslcrl": revoked},
            ): "certificate revoked",
            plain_server.url("auth_failures", {"sslmode": "require"}): "does not support SSL",
            plain_server.url("auth_failures", {"channel_binding": "require"}): "not support SSL",
            tls_server.url(  # authentication by client certificate has no channel binding
                "auth_failures",
                {
                    "sslmode": "require",
                    "channel_binding": "require",
                    "sslcert": certified,
                    "sslkey": certified.with_suffix(".key"),
                },
                user="certified",
            ): "did not use channel binding",
            tls_server.url("auth_failures", {"sslmode": "disable"}, user="encrypted"): "pg_hba",
            tls_server.url("auth_failures", {"sslmode": "require"}, user="plain"): "pg_hba",
            tls_server.url("auth_failures", password="wrong"): "password authentication failed",
            tls_server.url("auth_failures", password=""): "the server asks for a password",
            tls_server.url("missing_database"): 'database "missing_database" does not exist',
            tls_server.url("auth_failures", host="unknown.invalid"): "ENOTFOUND unknown.invalid",
            f"{tls_server.url('auth_failures', host=f'localhost:{closed},localhost')}x": (
                f"localhost:{closed}: connect ECONNREFUSED"
            ),
            tls_server.url("x", {"connect_timeout": 1}, port=silent.port): "timeout",
        }
        found = parallel(frontend.migrate, list(cases))
        closed_too = frontend.migrate(tls_server.url("auth_failures", port=closed))

    for (url, reason), line in zip(cases.items(), found, strict=True):
        assert line.startswith("DATABASE_URL cannot be used: "), url
        assert reason in line
    assert closed_too.startswith(UNREACHABLE)


def test_unsupported_url_is_refused_naming_the_part(frontend: Frontend) -> None:
    after = "postgresql://ann:se%20cret@host/db?"
    cases = {
        "mysql://host/db": "must be a postgresql:// URL",
        "host/db": "must be a postgresql:// URL",
        "postgresql://ann:s@cret@host/db": "must have space, @",
        "postgresql://ann:s/cret@host/db": "must have space, @",
        "postgresql://ann:s?cret@host/db": "must have space, @",
        "postgresql://ann:s#cret@host/db": "must have space, @",
        "postgresql://ann:100%secret@host/db": "has a % that does not start",
        "postgresql://ann:%00secret@host/db": "has a % that does not start",
        "postgresql://host:port/db": "has an invalid host",
        "postgresql://[::1/db": "has an invalid host",
        "postgresql://host:0/db": "needs ports from 1",
        "postgresql://host:70000/db": "needs ports from 1",
        "postgresql://a,b,c/db?port=1,2": "needs as many ports",
        f"{after}hostaddr=127.0.0.1": "has the parameter hostaddr, which is not supported: write",
        f"{after}connection_limit=5": "has the parameter connection_limit, which is not",
        f"{after}passfile=/missing": "names a file in passfile",
        f"{after}sslkey=/missing": "needs sslcert for sslkey",
        f"{after}sslmode=verify_full": "needs sslmode to be one of disable, allow",
        f"{after}sslmode=verify-full": "needs sslrootcert for sslmode=verify-full",
        f"{after}sslmode=verify-ca": "needs sslrootcert for sslmode=verify-ca",
        f"{after}sslmode=require&sslrootcert=system": "needs sslmode=verify-full",
        f"{after}sslmode=require&sslrootcert=/missing": "names a file in sslrootcert",
        f"{after}sslmode=require&sslcert=/missing": "names a file in sslcert",
        f"{after}ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2": "needs ssl_",
        f"{after}sslnegotiation=direct": "needs sslmode=require or stronger",
        f"{after}sslmode=disable&channel_binding=require": "needs TLS",
        f"{after}channel_binding=always": "needs channel_binding to be one of",
        f"{after}target_session_attrs=standby": "needs target_session_attrs to be one of any, ",
        f"{after}connect_timeout=5s": "needs connect_timeout to be a whole number",
        f"{after}client_encoding=latin1": "needs client_encoding to be one of auto, utf8",
        f"{after}gssencmode=require": "needs gssencmode to be one of disable, prefer",
        f"{after}sslcertmode=require": "needs sslcertmode to be one of",
        f"{after}service=mine": "has the parameter service, which",
        f"{after}require_auth=scram-sha-256": "has the parameter require_auth",
        f"{after}schema=public": "has the parameter schema",
        f"{after}sslmode": "needs parameters like name=value",
    }

    found = frontend.script("parsing.ts", PARSING, list(cases))

    for (url, rule), message in zip(cases.items(), found, strict=True):
        assert message.startswith(f"DATABASE_URL {rule}"), f"{url}: {message}"
        assert "cret" not in message
        assert "\n" not in message


def test_users_sign_up_through_a_transaction_pooler_despite_pg_variables(
    frontend: Frontend, tls_server: Postgres, new_folder: NewFolder
) -> None:
    foreign = {"PGOPTIONS": "-c search_path=x", "PGSSLMODE": "disable", "PGHOST": "unknown.invalid",
               "PGUSER": "nobody", "PGPORT": "1", "PGDATABASE": "x", "PGAPPNAME": "x"}  # fmt: skip
    database = tls_server.database("auth_pooled")
    pooler = PgBouncer(new_folder("pooler"), tls_server)
    pooler.start()
    try:
        url = tls_server.url(database, {"sslmode": "require"}, host="127.0.0.1", port=pooler.port)
        made = frontend.migrate(url, **foreign)
        bound = frontend.migrate(f"{url}&channel_binding=require")
        optional = frontend.migrate(f"{url}&options=-csearch_path%3Dx")
        with frontend.serving(url, **foreign) as sign_up:
            outcomes = [sign_up(f"{name}@example.com") for name in ("ann", "bob", "cem", "ann")]
    finally:
        pooler.stop()

    assert made == "5 created, 0 changed"
    assert "does not support channel binding" in bound
    assert optional.endswith("unsupported startup parameter: options")
    assert outcomes[:3] == ["signed up"] * 3
    assert outcomes[3].startswith("failed: User already exists")
    assert schemas(tls_server, database) == {"auth": TABLES}


@contextmanager
def stopped(primary: Postgres) -> Iterator[None]:
    primary.stop()
    yield


@contextmanager
def hung(primary: Postgres) -> Iterator[None]:
    """Suspend all of the server's processes, so that its sessions hang too."""
    server = int((primary.data / "postmaster.pid").read_text().split()[0])
    with frozen([server, *children(server)]):
        yield


@contextmanager
def read_only(primary: Postgres) -> Iterator[None]:
    """Refuse writes in the sessions that are open too, as a server that became a replica."""
    primary.sql("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    yield


@pytest.mark.parametrize("failed", [stopped, hung, read_only])
def test_users_sign_up_within_seconds_after_a_failover_to_another_host(
    frontend: Frontend,
    new_folder: NewFolder,
    authority: Authority,
    failed: Callable[[Postgres], AbstractContextManager[None]],
) -> None:
    primary = Postgres(new_folder("primary"), authority)
    primary.start()
    primary.role(USER)
    own(primary.folder)
    database = primary.database("auth_failover")
    replica = Replica(new_folder("replica"), primary)
    replica.start()
    users = [" ".join(f"{letter}{n}@example.com" for n in range(12)) for letter in "abc"]
    try:
        hosts = f"localhost:{replica.port},localhost:{primary.port}"
        one = f"localhost:{primary.port}"
        attributes = {"target_session_attrs": "read-write", "sslmode": "require"}
        url = primary.url(database, attributes).replace(one, hosts)
        made = frontend.migrate(url)
        only_replica = frontend.migrate(replica.url(database, attributes))
        with frontend.serving(url) as sign_up:
            before = sign_up(users[0])  # Fills the pool with connections to the primary.
            replica.catch_up(primary)
            with failed(primary):
                start = monotonic()
                during = sign_up("bob@example.com")
                seconds = monotonic() - start
                replica.promote()
                after = [sign_up(emails) for emails in users[1:]]
        emails = replica.sql('SELECT email FROM auth."user"', database=database).split()
    finally:
        replica.stop()
        primary.stop()

    assert made == "5 created, 0 changed"
    assert only_replica.endswith("the server is a replica")
    assert before == "signed up"
    assert during.startswith("failed: ")
    assert seconds < 5
    assert after == ["signed up", "signed up"]
    assert sorted(emails) == sorted(" ".join(users).split())


def test_statement_that_waits_or_loses_its_connection_fails_and_the_next_one_works(
    frontend: Frontend, tls_server: Postgres
) -> None:
    database = tls_server.database("auth_waiting")
    url = tls_server.url(database)
    frontend.migrate(url)
    waiting = f"FROM pg_stat_activity WHERE datname = '{database}' AND wait_event_type = 'Lock'"

    def lock(seconds: int) -> None:
        tls_server.sql(f'LOCK TABLE auth."user"; SELECT pg_sleep({seconds})', database=database)

    with frontend.serving(url) as sign_up, ThreadPoolExecutor(2) as pool:
        before = sign_up("ann@example.com")
        locked = pool.submit(lock, 5)
        wait_until(lambda: is_locked(tls_server, database), 5, lambda: "not locked")
        start = monotonic()
        late = sign_up("bob@example.com")
        seconds = monotonic() - start
        lost = pool.submit(sign_up, "cem@example.com")
        wait_until(lambda: tls_server.sql(f"SELECT count(*) > 0 {waiting}") == "t", 5, str)
        tls_server.sql(f"SELECT pg_terminate_backend(pid) {waiting}")
        lost.result()
        locked.result()
        after = sign_up("bob@example.com cem@example.com")

    assert before == "signed up"
    assert late.startswith("failed: ")
    assert 1 < seconds < 4
    assert lost.result().startswith("failed: ")
    assert after == "signed up"


def is_locked(server: Postgres, database: str) -> bool:
    held = "mode = 'AccessExclusiveLock' AND granted AND relation = 'auth.\"user\"'::regclass"
    return server.sql(f"SELECT count(*) FROM pg_locks WHERE {held}", database=database) == "1"


def test_missing_privilege_is_named_and_documented_privileges_are_enough(
    frontend: Frontend, tls_server: Postgres
) -> None:
    database = tls_server.database("auth_limited", owner="postgres")
    tls_server.role("limited")
    tls_server.sql("GRANT CREATE ON SCHEMA public TO limited", database=database)
    url = tls_server.url(database, user="limited")
    administrator = (
        f"postgresql://postgres@/{database}?host={tls_server.folder}&port={tls_server.port}"
    )

    def after(*statements: str) -> str:
        if statements:
            tls_server.sql(*statements, database=database)
        return frontend.migrate(url)

    def lacks(privilege: str, *, on: str) -> str:
        return f"the role limited in DATABASE_URL lacks the privilege {privilege} on {on}"

    assert after().startswith(lacks("CREATE", on=f"database {database}"))
    assert after("CREATE SCHEMA auth").startswith(lacks("USAGE", on="schema auth"))
    usage = "GRANT USAGE ON SCHEMA auth TO limited"
    assert after(usage).startswith(lacks("CREATE", on="schema auth"))
    assert schemas(tls_server, database) == {}

    # The role may not create schemas, but it may create tables in this one.
    assert after("GRANT CREATE ON SCHEMA auth TO limited") == "5 created, 0 changed"

    # The role may only read and write rows.
    tls_server.sql("DROP SCHEMA auth CASCADE", database=database)
    assert frontend.migrate(administrator) == "5 created, 0 changed"
    tls_server.sql(usage, database=database)
    for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE"):
        line = after()
        assert line.startswith(lacks(privilege, on="table auth."))
        tls_server.sql(
            f"GRANT {privilege} ON ALL TABLES IN SCHEMA auth TO limited", database=database
        )
    assert after() == "0 created, 0 changed"
    with frontend.serving(url) as sign_up:
        assert sign_up("ann@example.com") == "signed up"

    # A column is missing, and only the table's owner may add it.
    missing = after('ALTER TABLE auth."user" DROP COLUMN image')
    owner = "the role limited in DATABASE_URL must own the table auth.user to change it"
    assert missing == f"{owner}: run `npm run migrate` as its owner"
    assert frontend.migrate(administrator) == "0 created, 1 changed"

    # A table is missing that refers to a table of another role.
    create = "GRANT CREATE ON SCHEMA auth TO limited"
    assert after("DROP TABLE auth.session", create).startswith(
        lacks("REFERENCES", on="table auth.user")
    )
    assert after('GRANT REFERENCES ON auth."user" TO limited') == "1 created, 0 changed"

    # The role may not connect.
    assert after(f"REVOKE CONNECT ON DATABASE {database} FROM PUBLIC") == (
        "DATABASE_URL cannot be used: the role limited lacks the privilege CONNECT on database"
        f" {database}: grant it"
    )


def test_tables_of_others_are_not_changed_and_another_schema_can_be_used(
    frontend: Frontend, tls_server: Postgres
) -> None:
    database = tls_server.database("auth_shared")
    tls_server.sql(
        'CREATE TABLE public."user" (id int)',
        "CREATE TABLE public.session (id int)",
        "CREATE SCHEMA auth",
        'CREATE TABLE auth."user" (id uuid, email text)',
        f"ALTER SCHEMA auth OWNER TO {USER}",
        f'ALTER TABLE auth."user" OWNER TO {USER}',
        f"ALTER ROLE {USER} IN DATABASE {database} SET search_path = public, auth",
        database=database,
    )
    url = tls_server.url(database)
    before = schemas(tls_server, database)

    foreign = frontend.migrate(url)

    table = "the table auth.user is not Better Auth's"
    assert foreign == f"AUTH_SCHEMA must be another schema than auth: {table}"
    assert schemas(tls_server, database) == before
    assert frontend.migrate(url, AUTH_SCHEMA="better_auth") == "5 created, 0 changed"
    assert frontend.migrate(url, AUTH_SCHEMA="better_auth") == "0 created, 0 changed"
    assert schemas(tls_server, database) == before | {"better_auth": TABLES}
    with frontend.serving(url, AUTH_SCHEMA="better_auth") as sign_up:
        assert sign_up("ann@example.com") == "signed up"


# A user table with all of Better Auth's columns.
LIKE_OURS = (
    'id text, name text, email text, "emailVerified" boolean, "createdAt" timestamptz,'
    ' "updatedAt" timestamptz'
)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ('TABLE taken."user" (id text, name text, email text)', "taken.user is not Better Auth's"),
        (f'TABLE taken."user" ({LIKE_OURS.replace("id text", "id int")})', "user is not Better"),
        # Auth.js has a date there.
        (f'TABLE taken."user" ({LIKE_OURS.replace("boolean", "timestamptz")})', "user is not"),
        ('TABLE taken.session (id text, "createdAt" timestamptz, data text)', "taken.session is"),
        ("TABLE taken.jwks (id text, key text)", "taken.jwks is not Better Auth's"),
        (f'TABLE taken."user" ({LIKE_OURS}) PARTITION BY LIST (id);'
         " CREATE TABLE taken.account (id text)", "taken.account is not Better Auth's"),
        ('VIEW taken."user" AS SELECT 1 AS id', 'relation "user" already exists'),
        ('MATERIALIZED VIEW taken."user" AS SELECT 1 AS id', 'relation "user" already exists'),
        ('SEQUENCE taken."user"', 'relation "user" already exists'),
        ('TABLE taken."user" ()', 'relation "user" already exists'),
        ("TYPE taken.\"user\" AS ENUM ('a')", 'type "user" already exists'),
        ('SEQUENCE taken."account_userId_idx"', 'relation "account_userId_idx" already exists'),
    ],
)  # fmt: skip
def test_schema_that_holds_something_else_is_refused_unchanged(
    frontend: Frontend, plain_server: Postgres, made: str, reason: str
) -> None:
    database = plain_server.database("auth_taken")
    try:
        plain_server.sql(
            f"CREATE SCHEMA taken; CREATE {made};"
            f"GRANT ALL ON SCHEMA taken TO {USER};"
            f"GRANT ALL ON ALL TABLES IN SCHEMA taken TO {USER}",
            database=database,
        )
        before = schemas(plain_server, database)

        line = frontend.migrate(plain_server.url(database), AUTH_SCHEMA="taken")

        assert line.startswith("AUTH_SCHEMA must be another schema than taken: ")
        assert reason in line
        assert schemas(plain_server, database) == before
    finally:
        plain_server.sql(f"DROP DATABASE {database}")


def test_two_concurrent_migrations_create_the_tables_once(
    frontend: Frontend, tls_server: Postgres
) -> None:
    url = tls_server.url(tls_server.database("auth_twice"))

    found = parallel(frontend.migrate, [url, url])

    assert sorted(found) == ["0 created, 0 changed", "5 created, 0 changed"]


@pytest.mark.parametrize("schema", ["Auth", "pg_auth", "a-b", 'a"; DROP SCHEMA public', "x" * 64])
def test_invalid_schema_name_is_refused(frontend: Frontend, schema: str) -> None:
    assert frontend.migrate("postgresql://h", AUTH_SCHEMA=schema).startswith("AUTH_SCHEMA must be")


def test_env_file_that_programs_read_differently_is_refused(frontend: Frontend) -> None:
    expanded, differs = ".env: A contains $ or a backtick", ".env: A would be read differently"
    line, encoding = ".env: line 1 is not NAME=value", ".env is not UTF-8 text"
    cases = [
        (b"A=v", "v"), (b"A = v w \r\n", "v w"), (b"export A=v", "v"), (b"# c\n\nA=v", "v"),
        (b'A="v w"', "v w"), (b"A='v w'", "v w"), (b'A="v#w"', "v#w"), (b"A='[\"v\"]'", '["v"]'),
        (b"A=v=w", "v=w"), (b"A=", ""), (b"A=v\\n", "v\\n"), (b"A=1\nA=2", "2"), (b'A=v"w', 'v"w'),
        (b"A=v # w", "v"), (b'A="v" # $w', "v"), (b"A= # w", ""),
        ("A=v".encode("utf-8-sig"), "v"), ("A=é".encode(), "é"),
        ("A=v".encode("utf-16"), encoding), ("A=v".encode("utf-16-be"), encoding),
        ("A=é".encode("latin-1"), encoding),
        (b"A=v$w", expanded), (b"A='v$w'", expanded), (b"A=v\\$w", expanded), (b"A=`v`", expanded),
        (b"A=v#w", differs), (b"A=#w", differs), (b"A=v\tw", differs), (b'A="v\\nw"', differs),
        (b"A='v\\\\w'", differs), (b'A="v"w"', differs), (b'A="v\nw"', differs), (b"A='v", differs),
        (b'A="v" w', differs), (b"A=v\rB=w", differs),
        ("A=v\u00a0".encode(), ".env: A contains an invisible character"),
        ("A=v\u200bw".encode(), ".env: A contains an invisible character"),
        (b"A: v", line), (b"A", line), (b"A-B=v", line),
    ]  # fmt: skip
    encoded = [b64encode(text).decode() for text, _ in cases]

    try:
        found = frontend.script("checking.mjs", CHECKING, encoded)
    finally:
        (frontend.path / ".env").unlink()

    for (text, expected), outcome in zip(cases, found, strict=True):
        same = outcome == expected
        assert same or (len(expected) > 9 and outcome.startswith(expected)), f"{text}: {outcome}"


def test_refused_env_file_stops_every_command_of_its_mode(frontend: Frontend) -> None:
    secret = "a$ecret" * 6
    settings = frontend.path / ".env.development.local"
    settings.write_text(f"BETTER_AUTH_SECRET={secret}\n")
    try:
        stopped = [
            frontend.run("node_modules/.bin/jiti", "scripts/migrate.ts", "dev"),
            frontend.run("node", "scripts/next.mjs", "dev"),
        ]
        other = frontend.migrate("mysql://host")
    finally:
        settings.unlink()

    for done in stopped:
        assert (done.returncode, done.stdout) == (1, "")
        [line] = done.stderr.splitlines()
        name = ".env.development.local: BETTER_AUTH_SECRET contains $ or a backtick"
        assert line.startswith(f"Cannot start: {name}")
        assert "ecret" not in line.replace("BETTER_AUTH_SECRET", "")
    assert other == "DATABASE_URL must be a postgresql:// URL"  # Production reads other files.


def test_dollar_sign_in_the_environment_is_refused_if_next_would_expand_it(
    frontend: Frontend,
) -> None:
    given = {"BETTER_AUTH_SECRET": "pa$$word" * 5}

    line = frontend.migrate("postgresql://host", **given)

    name = "BETTER_AUTH_SECRET contains $ in the environment, which Next.js would expand"
    assert line == f"{name}: remove its line from .env.local."
    assert "word" not in line


@pytest.mark.parametrize(
    "url",
    ["http://LOCALHOST:3000", "http://example.com:80", "https://example.com:443",
     "http://localhost:3000/", "http://localhost:3000/auth", "https://b\u00fccher.example",
     "https://user@example.com", "example.com", "ftp://example.com", "ws://localhost:3000"],
)  # fmt: skip
def test_issuer_in_a_form_that_browsers_do_not_send_is_refused(
    sqlite_frontend: Frontend, url: str
) -> None:
    line = sqlite_frontend.migrate(BETTER_AUTH_URL=url)

    assert line.startswith("BETTER_AUTH_URL must be an origin as browsers send it")
    assert not (sqlite_frontend.path / "auth.db").exists()


def test_sqlite_file_is_in_the_frontends_folder_when_started_elsewhere(
    sqlite_frontend: Frontend, tmp_path: Path
) -> None:
    file = sqlite_frontend.path / "auth.db"
    elsewhere = Frontend(tmp_path)
    command = sqlite_frontend.path / "node_modules/.bin/jiti"

    done = elsewhere.run(
        command,
        sqlite_frontend.path / "scripts/migrate.ts",
        HOME="/dev/null",
        JITI_FS_CACHE="false",
    )

    assert done.stdout == "Better Auth's tables: 5 created, 0 changed\n", done.stderr
    assert list(tmp_path.iterdir()) == []
    assert file.exists()
    file.unlink()


def test_missing_folder_of_the_sqlite_file_stops_the_start(
    sqlite_frontend: Frontend, tmp_path: Path
) -> None:
    file = sqlite_frontend.path / "auth.db"
    file.symlink_to(tmp_path / "missing" / "auth.db")  # As in the image, where it is in a volume.
    try:
        line = sqlite_frontend.migrate()
    finally:
        file.unlink()

    assert line == "auth.db cannot be used: its folder is missing or cannot be written"
    assert list(tmp_path.iterdir()) == []
