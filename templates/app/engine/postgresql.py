"""How the service talks to PostgreSQL."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import Connection, DateTime, Executable, Float, NullPool, Numeric, event, text
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.types import TypeEngine

from app.config import PROJECT, DatabaseSettings
from app.database_url import Target, names_transaction_pooler, parse

READ_ONLY = "25006"  # read_only_sql_transaction
MIGRATIONS_LOCK = 0x6D696772  # any number that all who migrate agree on
# With an empty name a statement is forgotten at the next one: the next server may not know it.
UNPREPARED: dict[str, Any] = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
    "prepared_statement_name_func": str,
}
# After these errors the next host of the URL is tried, as in libpq. Refused credentials are not
# retried elsewhere.
TRY_NEXT_HOST = (
    OSError,
    UnicodeError,  # a name that DNS cannot have, such as a..b
    asyncpg.CannotConnectNowError,
    asyncpg.TargetServerAttributeNotMatched,
)

Fetch = Callable[..., Awaitable[Sequence[Any]]]
"""Runs a statement: `fetch(sql, arguments, reads=...)` returns its rows."""

TABLE_OPTIONS: dict[str, Any] = {}
DIALECT = dialect()
INTEGRITY_ERRORS = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError)
UNAVAILABLE_ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)

UtcDateTime = DateTime(timezone=True)
"""A point in time, in UTC on both sides."""


def type_code(column_type: TypeEngine[Any]) -> int | None:
    """Return the OID by which SQLAlchemy converts numbers that are not integers."""
    if isinstance(column_type, Float):
        return 701
    return 1700 if isinstance(column_type, Numeric) else None


class Engine:
    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._free: list[asyncpg.Connection] = []

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        connection = self._free.pop() if self._free else await connect(
            parse(self._settings.database_url.get_secret_value(), PROJECT), 2, command_timeout=2
        )
        try:
            yield connection
        finally:
            self._free.append(connection)

    async def fetch(self, sql: str, arguments: Sequence[Any], *, reads: bool) -> Sequence[Any]:
        async with self._connection() as connection:
            return await connection.fetch(sql, *arguments)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Fetch]:
        async with self._connection() as connection, connection.transaction():

            async def fetch(sql: str, arguments: Sequence[Any], *, reads: bool) -> Sequence[Any]:
                return await connection.fetch(sql, *arguments)

            yield fetch

    async def close(self) -> None:
        while self._free:
            await self._free.pop().close()


def for_migrations(settings: DatabaseSettings) -> AsyncEngine:
    """An engine whose transactions wait for each other, and take as long as they take."""
    engine = create_async_engine(
        "postgresql+asyncpg://",
        hide_parameters=True,
        poolclass=NullPool,
        connect_args=_connect_args(settings),
    )

    @event.listens_for(engine.sync_engine, "begin")
    def take_turns(connection: Connection) -> None:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATIONS_LOCK})")

    return engine


def missing_privileges(tables: Iterable[str]) -> Executable:
    """Return a statement that selects `missing` privileges of the role, like "INSERT on tasks"."""
    return text(
        "SELECT 'USAGE on a schema of search_path' AS missing WHERE current_schema() IS NULL "
        "UNION ALL SELECT format('%s on %s', privilege, name) "
        "FROM unnest(CAST(:tables AS text[])) AS name, "
        "unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege "
        "WHERE NOT has_table_privilege(to_regclass(quote_ident(name)), privilege)"
    ).bindparams(tables=list(tables))


async def connect(target: Target, seconds: float, **options: Any) -> asyncpg.Connection:
    """Return a connection to the first host with the session attributes that the URL asks for.

    Each attempt gets an equal share of the remaining `seconds`, so that a host that hangs leaves
    time for the next one. Raises a ConnectionError that names each host and its error, or at once
    the driver's error if another host cannot help, as for a wrong password.
    """
    hosts = list(target.hosts)
    if target.in_random_order:
        random.shuffle(hosts)
    attributes = [target.session_attributes]
    if attributes == ["prefer-standby"]:
        attributes = ["standby", "any"]
    tries = [(host, wanted) for wanted in attributes for host in hosts]
    deadline = asyncio.get_running_loop().time() + seconds
    failed: list[Exception] = []
    for number, ((host, port), wanted) in enumerate(tries):
        share = (deadline - asyncio.get_running_loop().time()) / (len(tries) - number)
        try:
            async with asyncio.timeout(min(share, target.host_timeout or share)):
                return await _connect_to(
                    target,
                    host=host,
                    port=port,
                    target_session_attrs=wanted,
                    timeout=None,
                    # Not None: then asyncpg would look for a password itself.
                    password=target.password_for(host, port) or "",
                    **target.arguments,
                    **options,
                )
        except TRY_NEXT_HOST as error:
            failed.append(error)
    reasons = [
        f"{host}:{port}: {type(error).__name__}: {error}"
        for ((host, port), _), error in zip(tries, failed, strict=True)
    ]
    raise ConnectionError("; ".join(reasons))


async def _connect_to(target: Target, **arguments: Any) -> asyncpg.Connection:
    """Connect with TLS or without, or try both, in the order that `sslmode` asks for."""
    first, *others = target.tls
    try:
        return await asyncpg.connect(ssl=first, **arguments)
    except (OSError, asyncpg.InvalidAuthorizationSpecificationError) as error:
        if not others or isinstance(error, TimeoutError):
            raise
        try:
            return await asyncpg.connect(ssl=others[0], **arguments)
        except asyncpg.InvalidAuthorizationSpecificationError as second:
            # "Wrong password" is more useful than "no access without TLS".
            raise error if isinstance(error, asyncpg.InvalidPasswordError) else second from None


def _is_behind_pooler(settings: DatabaseSettings) -> bool:
    url = settings.database_url.get_secret_value()
    return settings.database_transaction_pooling or names_transaction_pooler(url)


def _connect_args(settings: DatabaseSettings) -> dict[str, Any]:
    target = parse(settings.database_url.get_secret_value(), PROJECT)
    creator = partial(connect, target, settings.database_pool_timeout_seconds)
    # SQLAlchemy's dialect calls this function to connect, with the arguments that it does not use
    # itself.
    arguments: dict[str, Any] = {"async_creator_fn": creator}
    return arguments | UNPREPARED if _is_behind_pooler(settings) else arguments
