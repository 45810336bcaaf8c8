"""Runs statements on PostgreSQL, with bare asyncpg."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Dialect,
    Executable,
    Float,
    NullPool,
    event,
    text,
)
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.config import PROJECT, DatabaseSettings
from app.connections import FOUND, IF_PRIMARY, Connector, Pool
from app.database_url import names_transaction_pooler, parse

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

FLOAT8, NUMERIC = 701, 1700  # OIDs of PostgreSQL's types
MIGRATIONS_LOCK = 0x6D696772  # any number, but the same for all processes that migrate
# Otherwise Citus may reject DDL after other statements in the same transaction.
# PostgreSQL without Citus accepts any setting with a dot in its name.
ONE_CONNECTION_PER_WORKER = "set_config('citus.multi_shard_modify_mode', 'sequential', true)"
# A statement without a name is replaced by the next one, so it need not exist on the next server.
UNPREPARED: dict[str, Any] = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
    "prepared_statement_name_func": str,
}
INTEGRITY_ERRORS = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError)
UNAVAILABLE_ERRORS = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

TABLE_OPTIONS: dict[str, Any] = {}
DIALECT: Dialect = dialect(dbapi=dialect.import_dbapi())  # type: ignore[no-untyped-call]
# SQLAlchemy gives each connection a codec that parses JSON. Here the column's type parses it.
DIALECT.supports_native_json_deserialization = False


def is_missing_reference(error: Exception) -> bool:
    """Return whether a foreign key was violated: the row is missing, or still referenced."""
    return isinstance(error, asyncpg.ForeignKeyViolationError | asyncpg.RestrictViolationError)


def is_duplicate(error: Exception) -> bool:
    """Return whether a unique key was violated."""
    return isinstance(error, asyncpg.UniqueViolationError)


def begins_with(column: ColumnElement[str], prefix: ColumnElement[str]) -> ColumnElement[bool]:
    """Return an exact, case-sensitive condition. LIKE would treat % and _ as wildcards."""
    return column.op("^@", is_comparison=True)(prefix)


def prefix_index_options(column: str) -> dict[str, Any]:
    """Return the options of an index that serves `begins_with` in every collation."""
    return {"postgresql_ops": {column: "text_pattern_ops"}}


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, in UTC. Raises ValueError for one without a time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 - the name that SQLAlchemy gives it
    ) -> datetime | None:
        if value and value.tzinfo is None:
            raise ValueError("a point in time needs a time zone")
        return value


def type_code(column_type: TypeEngine[Any]) -> int:
    """Return the OID of a numeric type, by which SQLAlchemy chooses the conversion of values."""
    undecorated = getattr(column_type, "impl_instance", column_type)
    item_type = getattr(undecorated, "item_type", undecorated)  # of an array
    return FLOAT8 if isinstance(item_type, Float) else NUMERIC


class Fetch(Protocol):
    """Runs a statement and returns its rows. `reads` means a SELECT, which changes nothing."""

    async def __call__(
        self, sql: str, arguments: Sequence[Any], *, reads: bool
    ) -> Sequence[asyncpg.Record]: ...


class Engine:
    """Runs statements, each on a connection of the pool."""

    def __init__(self, settings: DatabaseSettings) -> None:
        """Create the object without connecting."""
        self._timeout = settings.database_statement_timeout_seconds
        self._is_behind_pooler = _is_behind_pooler(settings)
        options: dict[str, Any] = {"command_timeout": self._timeout}
        if self._is_behind_pooler:
            options["statement_cache_size"] = 0
        target = parse(settings.database_url.get_secret_value(), PROJECT)
        self._pool = Pool(
            settings.database_pool_size,
            settings.database_pool_timeout_seconds,
            Connector(target, **options).connect,
        )

    async def fetch(
        self, sql: str, arguments: Sequence[Any], *, reads: bool
    ) -> Sequence[asyncpg.Record]:
        """Run one statement in its own transaction. When this returns, its changes are durable."""
        if self._is_behind_pooler:
            # A statement takes several messages, which must all reach the same server process.
            async with self.transaction("READ COMMITTED") as fetch:
                return await fetch(sql, arguments, reads=reads)
        slot = await self._pool.acquire()
        try:
            rows: Sequence[asyncpg.Record] = await slot.connection.fetch(sql, *arguments)
        except BaseException as error:
            self._pool.release(slot, error)
            raise
        self._pool.release(slot)
        return rows

    @asynccontextmanager
    async def transaction(self, isolation: str = "REPEATABLE READ") -> AsyncIterator[Fetch]:
        """Yield a function that runs statements in a transaction, committed when the block ends.

        Exceptions and cancellation roll it back. The whole block has the timeout of a single
        statement. If another transaction has changed a row since this one began, updating the row
        fails. READ COMMITTED would overwrite that change.
        """
        slot = await self._pool.acquire()
        limit = asyncio.timeout(self._timeout)
        try:
            async with limit:
                begin = f"BEGIN ISOLATION LEVEL {isolation}"
                if not self._is_behind_pooler:
                    await slot.connection.execute(begin)
                # The pooler may use another server by now. The check needs no extra round trip.
                elif await slot.connection.execute(f"{begin}; {IF_PRIMARY}") != FOUND:
                    raise asyncpg.ReadOnlySQLTransactionError("the server is a replica")
                try:
                    yield partial(_fetch, slot.connection)
                    if limit.expired():
                        raise TimeoutError  # the block may have caught the cancellation
                except Exception:
                    with suppress(*UNAVAILABLE_ERRORS):
                        await slot.connection.execute("ROLLBACK")
                    raise
                await slot.connection.execute("COMMIT")
        except BaseException as error:
            self._pool.release(slot, error)
            if isinstance(error, TimeoutError) and limit.expired():
                raise TimeoutError("the transaction took too long") from None
            raise
        self._pool.release(slot)

    async def close(self) -> None:
        """Close all connections. If the server hangs, this may hang, too."""
        await self._pool.close()


async def _fetch(
    connection: Any,
    sql: str,
    arguments: Sequence[Any],
    *,
    reads: bool,  # noqa: ARG001 - only SQLite uses it
) -> Sequence[asyncpg.Record]:
    rows: Sequence[asyncpg.Record] = await connection.fetch(sql, *arguments)
    return rows


def for_migrations(settings: DatabaseSettings) -> "AsyncEngine":
    """Return a SQLAlchemy engine. Its transactions wait for each other without a deadline."""
    # Imported here, because only migrations and tests need it.
    from sqlalchemy.ext.asyncio import create_async_engine

    target = parse(settings.database_url.get_secret_value(), PROJECT)
    unprepared = UNPREPARED if _is_behind_pooler(settings) else {}

    # SQLAlchemy calls this with the arguments that its dialect does not use.
    def connect(**arguments: Any) -> Coroutine[Any, Any, Any]:
        return Connector(target, **arguments).connect(settings.database_pool_timeout_seconds)

    engine = create_async_engine(
        "postgresql+asyncpg://",
        hide_parameters=True,
        poolclass=NullPool,
        connect_args={"async_creator_fn": connect} | unprepared,
    )

    @event.listens_for(engine.sync_engine, "begin")
    def take_turns(connection: Connection) -> None:
        connection.exec_driver_sql(
            f"SELECT pg_advisory_xact_lock({MIGRATIONS_LOCK}), {ONE_CONNECTION_PER_WORKER}"
        )

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


def _is_behind_pooler(settings: DatabaseSettings) -> bool:
    url = settings.database_url.get_secret_value()
    return settings.database_transaction_pooling or names_transaction_pooler(url)
