"""The database of a test run: an embedded PostgreSQL server, or the one in TEST_DATABASE_URL."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import PROJECT
from app.connections import Connector
from app.database import translate_driver_errors
from app.database_url import parse
from app.models import Base
from scripts.postgres import running_server
from tests.engines import engine_for

UNREACHABLE_URL = "postgresql://postgres@127.0.0.1:1/postgres"
"""Nothing listens on this port."""
DURABLE_SETTINGS = {"SHOW synchronous_commit": {"synchronous_commit": "on"}}
"""Queries, with the results that guarantee durable commits."""
SLOW_QUERY = "SELECT pg_sleep(60)"
MAKE_READ_ONLY = "SET default_transaction_read_only = on"
"""Makes a connection read-only, as after a failover."""

COLUMN_TYPES = [
    (JSONB(), {"a": [1, {"b": None}]}),
    (ARRAY(Integer), [1, None, 3]),
    (ARRAY(Uuid), [UUID("018f0000-0000-7000-8000-000000000001")]),
]
"""Column types that only this database has, each with a value."""


@contextmanager
def temporary_database() -> Iterator[str]:
    """Start a server with an empty database, yield its URL, and delete both afterwards."""
    # The path of a Unix socket is limited to 107 bytes, 104 on macOS.
    parent = "/tmp" if len(gettempdir()) > 60 else None  # noqa: S108 - holds a folder with a random name
    # -F turns fsync off, because test data need not survive a crash of the machine.
    with TemporaryDirectory(dir=parent) as directory, running_server(Path(directory), "-F") as url:
        yield url


MARK = "tests_may_empty_this_database"
"""The table that marks a schema as one that the tests may empty."""
LOCK = "SELECT pg_try_advisory_xact_lock(0x74657374, hashtext(current_schema()))"
CONNECT_TIMEOUT = 10  # seconds
# All objects in the schemas of search_path, except for those of extensions.
CONTENT = """
SELECT schema, kind, name FROM (
    SELECT CAST('pg_class' AS regclass) AS catalog, oid, relnamespace AS schema, relname AS name,
        CASE WHEN relkind IN ('v', 'm') THEN 'view' WHEN relkind = 'S' THEN 'sequence'
            WHEN relkind = 'c' THEN 'type' ELSE 'table' END AS kind
    FROM pg_class WHERE relkind NOT IN ('i', 'I', 't')
    UNION ALL
    SELECT 'pg_proc', oid, pronamespace, proname, 'function' FROM pg_proc
    UNION ALL
    SELECT 'pg_type', oid, typnamespace, typname, 'type' FROM pg_type
    WHERE typtype IN ('e', 'd', 'r')
) AS found
WHERE schema IN (SELECT oid FROM pg_namespace WHERE nspname = ANY (current_schemas(false)))
AND NOT EXISTS (
    SELECT FROM pg_depend WHERE classid = catalog AND objid = found.oid AND deptype = 'e'
)
ORDER BY kind = 'sequence', name
"""


@contextmanager
def reserved_database(url: str) -> Iterator[None]:
    """Mark a database as the tests' own, and lock out other runs of the tests during the block.

    Only the schemas of its `search_path` matter. Raises ValueError if they have objects that are
    not from earlier runs, or if another run uses them, and Unavailable if the database cannot be
    reached or written. In these cases nothing has changed.
    """
    with asyncio.Runner() as runner:
        with translate_driver_errors():
            connection = runner.run(_reserve(url))
        try:
            yield
        finally:
            with suppress(Exception):  # a test may have ended the connection
                runner.run(connection.close(timeout=2))


async def _reserve(url: str) -> Any:
    # Without prepared statements, because there may be a connection pooler.
    connector = Connector(parse(url, PROJECT), statement_cache_size=0)
    connection = await connector.connect(CONNECT_TIMEOUT)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            async with connection.transaction():
                await _lock(connection)
                _check_is_own(await connection.fetch(CONTENT))
                await connection.execute(f"CREATE TABLE IF NOT EXISTS {MARK} ()")
            # The lock ends with this transaction, even if the process is killed. Behind a pooler, a
            # lock of the session could outlive both.
            await connection.transaction().start()
            await _lock(connection)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def _lock(connection: Any) -> None:
    if await connection.fetchval("SELECT current_schema()") is None:
        raise ValueError("the role can use no schema of search_path. Create one, or grant USAGE")
    if not await connection.fetchval(LOCK):
        raise ValueError("another run of the tests uses the database. Wait until it ends")


def _check_is_own(content: Sequence[Mapping[str, Any]]) -> None:
    marked = {each["schema"] for each in content if each["name"] == MARK}
    for each in content:
        if each["schema"] not in marked:
            raise ValueError(
                f"the database has the {each['kind']} {each['name']}, which is not from an "
                "earlier run of the tests. The tests delete everything. Name an empty database"
            )


USES_INDEX = " using (pk|ix)_| on ix_"
"""Matches plans that use an index. All indexes begin with the owner."""
HAS_CITUS = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"
SAME_SHARD = text("""
SELECT name FROM (SELECT 'user ' || number AS name FROM generate_series(1, 20000) AS number) AS u
WHERE get_shard_id_for_distribution_column(to_regclass(:table), name)
    = get_shard_id_for_distribution_column(to_regclass(:table), CAST(:owner AS text))
LIMIT 100
""")


async def users_on_the_shard_of(owner: str, table: str, url: str) -> list[str]:
    """Return users. On Citus, their rows of the table are on the same shard as those of `owner`."""
    users = [f"user {number}" for number in range(100)]
    engine = engine_for(url)
    async with engine.connect() as connection:
        if await connection.scalar(text(HAS_CITUS)):
            found = await connection.scalars(SAME_SHARD, {"owner": owner, "table": table})
            users = list(found)
    await engine.dispose()
    return users


async def explain(url: str, statements: Mapping[str, Any]) -> dict[str, str]:
    """Return the query plan of each statement, given its parameters."""
    engine = engine_for(url)
    async with engine.connect() as connection:
        await connection.exec_driver_sql("ANALYZE")  # so that the planner knows the number of rows
        await connection.commit()
        explained = {
            statement: await connection.exec_driver_sql(f"EXPLAIN {statement}", values)
            for statement, values in statements.items()
        }
    await engine.dispose()
    return {statement: "\n".join(plan.scalars()) for statement, plan in explained.items()}


@contextmanager
def locked_database(url: str) -> Iterator[None]:
    """Lock the tables, so that other connections cannot write to them."""
    engine = engine_for(url)

    async def lock() -> AsyncConnection:
        connection = await engine.connect()
        tables = ", ".join(Base.metadata.tables)
        await connection.execute(text(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE"))
        return connection

    with asyncio.Runner() as runner:
        other = runner.run(lock())
        yield
        runner.run(other.close())
        runner.run(engine.dispose())
