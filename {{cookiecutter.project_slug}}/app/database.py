"""Runs statements, alone or in a transaction."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from types import MappingProxyType
from typing import Any, Protocol

from opentelemetry import trace
from sqlalchemy import Executable, false, select

from app.config import DatabaseSettings
from app.engine import INTEGRITY_ERRORS, UNAVAILABLE_ERRORS, Engine, Fetch, missing_privileges
from app.errors import Unavailable
from app.models import Base
from app.models.base import OWNER
from app.security.verifier import User
from app.statement import Record, compiled
from app.tracing import traced

CLOSE_TIMEOUT = 2  # seconds
NO_VALUES: Mapping[str, Any] = MappingProxyType({})


class Runner(Protocol):
    """What repositories need: a `Database` or a `Transaction`."""

    async def run(
        self, statement: Executable, values: Mapping[str, Any] = ..., owner: User | None = ...
    ) -> list[Record]: ...

    def transaction(self) -> AbstractAsyncContextManager["Transaction"]: ...


class Database:
    """Runs statements. Raises Unavailable when the database is away, locked, full or too slow."""

    def __init__(self, settings: DatabaseSettings) -> None:
        """Nothing is connected yet."""
        self._engine = Engine(settings)
        self._fetch: Fetch = self._engine.fetch
        self._is_traced = False
        self._privileges = missing_privileges(Base.metadata.tables)
        self._probes = [
            select(table).where(false()).execution_options(unscoped="reads no row")
            for table in Base.metadata.sorted_tables
        ]

    async def run(
        self,
        statement: Executable,
        values: Mapping[str, Any] = NO_VALUES,
        owner: User | None = None,
    ) -> list[Record]:
        """Run one statement and return its rows; what it changed is durable by then.

        It is a transaction of its own: as atomic as one with BEGIN and COMMIT around it, without
        the round trips. `values` are keyed by parameter; the parameter `OWNER` is for `owner`.
        Raises the driver's error if the statement or its values are wrong.
        """
        return await _run(self._fetch, statement, values, owner)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Transaction"]:
        """Yield a transaction. When the block has ended, its changes are durable.

        Any exception rolls it back, and so does cancellation. The whole block has
        DATABASE_STATEMENT_TIMEOUT_SECONDS. On SQLite, all other writes wait for it.
        """
        raised: BaseException | None = None
        try:
            async with self._engine.transaction() as fetch:
                transaction = Transaction(traced(fetch) if self._is_traced else fetch)
                try:
                    yield transaction
                    await transaction.check()
                except BaseException as error:
                    raised = error
                    raise
                finally:
                    transaction.has_ended = True
        except UNAVAILABLE_ERRORS as error:
            if error is raised or isinstance(error, INTEGRITY_ERRORS):
                raise
            raise unavailable(error) from error

    def trace(self) -> None:
        """Give each statement a span, if OpenTelemetry is on."""
        if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            self._fetch, self._is_traced = traced(self._engine.fetch), True

    async def ping(self) -> None:
        """Raise Unavailable unless the database responds and has all columns and privileges."""
        if missing := await self.run(self._privileges):
            privileges = ", ".join(str(row["missing"]) for row in missing)
            raise Unavailable(f"database: the role lacks {privileges}")
        for probe in self._probes:
            await self.run(probe)

    async def close(self) -> None:
        """Close what can be closed soon: a server that hangs must not hold up the end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._engine.close()


class Transaction:
    """Several statements, all or none. Repositories accept it in place of the `Database`."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._turn = asyncio.Lock()  # a connection runs one statement at a time
        self._failure: Exception | None = None
        self.has_ended = False

    async def run(
        self,
        statement: Executable,
        values: Mapping[str, Any] = NO_VALUES,
        owner: User | None = None,
    ) -> list[Record]:
        """Run one statement, like `Database.run`; an error in it fails the whole transaction."""
        async with self._turn, self.transaction():
            if self.has_ended:
                raise RuntimeError("the transaction has ended: use it inside of its block only")
            return await _run(self._fetch, statement, values, owner)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Transaction"]:
        """Join this transaction. An exception in the block rolls back all of it, even if caught."""
        try:
            yield self
        except Exception as error:
            self._failure = error
            raise
        except BaseException:
            self._failure = Unavailable("database: a part of the transaction was canceled")
            raise

    async def check(self) -> None:
        """Wait for running statements. Raise the error of a statement that failed."""
        async with self._turn:
            self.has_ended = True
        if self._failure:
            raise self._failure


async def _run(
    fetch: Fetch, statement: Executable, values: Mapping[str, Any], owner: User | None
) -> list[Record]:
    if OWNER.key in values:
        raise TypeError(f"{OWNER.key} takes its value from a User only: pass `owner`")
    if owner is not None:
        if not isinstance(owner, User):
            raise TypeError("owner must be a verified User")
        values = {**values, OWNER.key: owner.id}
    prepared = compiled(statement)
    sql, arguments = prepared.bind(values)
    try:
        return prepared.records(await fetch(sql, arguments, reads=prepared.reads))
    except INTEGRITY_ERRORS:
        raise
    except UNAVAILABLE_ERRORS as error:
        raise unavailable(error) from error


def unavailable(error: BaseException) -> Unavailable:
    """Return the Unavailable for a driver's error, whose first line becomes the logged reason."""
    # If the role may not connect, PostgreSQL names the missing privilege only in `detail`.
    parts = (f"{type(error).__name__}: {error}", getattr(error, "detail", None) or "")
    reason = " ".join(part.partition("\n")[0] for part in parts).strip()
    return Unavailable(f"database: {reason}")
