"""Runs statements, alone or in a transaction."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from types import MappingProxyType
from typing import Any

from opentelemetry import trace
from sqlalchemy import Executable, false, select

from app.config import DatabaseSettings
from app.engine import (
    INTEGRITY_ERRORS,
    UNAVAILABLE_ERRORS,
    Engine,
    Fetch,
    is_duplicate,
    is_missing_reference,
    missing_privileges,
)
from app.errors import Conflict, MissingReference, Unavailable
from app.models import Base
from app.models.base import OWNER
from app.security.verifier import User
from app.statement import Record, compiled
from app.tracing import traced

CLOSE_TIMEOUT = 2  # seconds
NO_VALUES: Mapping[str, Any] = MappingProxyType({})


class Runner(ABC):
    """Runs statements for repositories: a `Database` or a `Transaction`."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch

    async def run(
        self,
        statement: Executable,
        values: Mapping[str, Any] = NO_VALUES,
        owner: User | None = None,
    ) -> list[Record]:
        """Run one statement and return its rows.

        `values` are keyed by parameter; `OWNER` stands for the id of `owner`. Raises Unavailable
        if the database is unreachable, locked, full or too slow; MissingReference if a foreign key
        is violated; Conflict if a unique key is violated; TypeError if the parameters are wrong;
        and the driver's error if a value violates another constraint or does not fit its column.
        """
        if OWNER.key in values:
            raise TypeError(f"pass `owner`: only a User can be the value of {OWNER.key}")
        if owner is not None:
            if not isinstance(owner, User):
                raise TypeError("`owner` must be a verified User")
            values = {**values, OWNER.key: owner.id}
        prepared = compiled(statement)
        sql, arguments = prepared.bind(values)
        with translate_driver_errors():
            return prepared.records(await self._fetch(sql, arguments, reads=prepared.reads))

    @abstractmethod
    def transaction(self) -> AbstractAsyncContextManager["Transaction"]:
        """Begin a transaction. On a transaction, join it."""


class Database(Runner):
    """Runs each statement in its own transaction, so its changes are durable when `run` returns.

    A single statement is atomic without BEGIN and COMMIT, which would cost two round trips.
    """

    def __init__(self, settings: DatabaseSettings) -> None:
        """Create the object without connecting."""
        self._engine = Engine(settings)
        super().__init__(self._engine.fetch)
        self._trace: Callable[[Fetch], Fetch] = lambda fetch: fetch
        self._privileges = missing_privileges(Base.metadata.tables)
        self._probes = [
            select(table).where(false()).execution_options(unscoped="reads no row")
            for table in Base.metadata.sorted_tables
        ]

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Transaction"]:
        """Begin a transaction, and commit it at the end of the block.

        Exceptions and cancellation roll it back. DATABASE_STATEMENT_TIMEOUT_SECONDS limits the
        whole block. On SQLite, all other writes wait until the block ends.
        """
        raised: BaseException | None = None
        try:
            async with self._engine.transaction() as fetch:
                transaction = Transaction(self._trace(fetch))
                try:
                    yield transaction
                    await transaction.end()
                except BaseException as error:
                    raised = error
                    raise
                finally:
                    transaction.has_ended = True
        except UNAVAILABLE_ERRORS as error:
            if error is raised:
                raise  # raised by the code in the block, not by the database
            with translate_driver_errors():
                raise

    def trace(self) -> None:
        """Record a span for each statement, if OpenTelemetry is enabled."""
        if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            self._trace = traced
            self._fetch = traced(self._engine.fetch)

    async def ping(self) -> None:
        """Raise Unavailable unless the database responds and has all columns and privileges."""
        if missing := await self.run(self._privileges):
            privileges = ", ".join(str(row["missing"]) for row in missing)
            raise Unavailable(f"database: the role lacks {privileges}")
        for probe in self._probes:
            await self.run(probe)

    async def close(self) -> None:
        """Close the connections. A server that hangs does not delay this for long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._engine.close()


class Transaction(Runner):
    """Statements that are committed together or not at all. Use it only within its block.

    A failed statement rolls the transaction back, even if the block catches the error, because
    PostgreSQL cannot continue a transaction after an error.
    """

    def __init__(self, fetch: Fetch) -> None:
        super().__init__(self._fetch_in_turn)
        self._fetch_at_once = fetch
        self._turn = asyncio.Lock()  # a connection runs one statement at a time
        self._failure: Exception | None = None
        self.has_ended = False

    async def _fetch_in_turn(
        self, sql: str, arguments: Sequence[Any], *, reads: bool
    ) -> Sequence[Any]:
        async with self._turn, self.transaction():
            if self.has_ended:
                raise RuntimeError("the transaction has ended: use it inside of its block only")
            return await self._fetch_at_once(sql, arguments, reads=reads)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Transaction"]:
        """Join this transaction. An exception in the block rolls it all back, even if caught."""
        try:
            yield self
        except Exception as error:
            self._failure = error
            raise
        except BaseException:
            self._failure = Unavailable("database: a part of the transaction was canceled")
            raise

    async def end(self) -> None:
        """Wait for statements that are still running. Raise the error of a failed one."""
        async with self._turn:
            self.has_ended = True
        with translate_driver_errors():
            if self._failure:
                raise self._failure


class RequestRunner(Runner):
    """Runs statements in a transaction until it ends, and after that each one alone.

    Background tasks of a handler, and dependencies that exit after it, use the handler's
    repositories after the transaction has ended.
    """

    def __init__(self, database: Database, transaction: Transaction) -> None:
        super().__init__(self._fetch_from_either)
        self._database = database
        self._transaction = transaction

    async def _fetch_from_either(
        self, sql: str, arguments: Sequence[Any], *, reads: bool
    ) -> Sequence[Any]:
        return await self._current()._fetch(sql, arguments, reads=reads)

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        return self._current().transaction()

    def _current(self) -> Runner:
        return self._database if self._transaction.has_ended else self._transaction


@contextmanager
def translate_driver_errors() -> Iterator[None]:
    """Convert driver errors to Unavailable, MissingReference or Conflict.

    Other errors are raised unchanged.
    """
    try:
        yield
    except UNAVAILABLE_ERRORS as error:
        if is_missing_reference(error):
            raise MissingReference from error
        if is_duplicate(error):
            raise Conflict from error
        if isinstance(error, INTEGRITY_ERRORS):
            raise
        reason = str(error).partition("\n")[0]
        raise Unavailable(f"database: {type(error).__name__}: {reason}") from error
