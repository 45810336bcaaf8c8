"""Ownership: each statement of a repository names the owner of the rows."""

from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from typing import Any, ClassVar, Generic, TypeVar, cast
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Executable,
    Table,
    Update,
    bindparam,
    delete,
    false,
    insert,
    or_,
    select,
    update,
)

from app.database import Runner
from app.errors import (
    Conflict,
    MissingReference,
    NotFound,
    PreconditionFailed,
    StillReferenced,
    Unavailable,
)
from app.models.base import OWNER, Base, OwnedBase, now
from app.models.idempotency_key import IdempotencyKey
from app.repositories.filters import Filter
from app.schemas.owned import OwnedRow, PageQuery
from app.security.verifier import User

MAX_STATEMENTS = 200  # of each kind; a resource has one for each combination of its columns
MAX_VERSIONS = 100

Row = TypeVar("Row", bound=OwnedRow)
Query = TypeVar("Query", bound=PageQuery)
Versions = frozenset[int] | None
"""The versions that a change may apply to; None stands for any."""


class Owned:
    """Access to one user's rows. Takes a verified `User`, never a plain string."""

    def __init__(self, database: Runner, owner: User) -> None:
        """With a `Transaction` as `database`, all changes are part of that transaction."""
        if not isinstance(owner, User):
            raise TypeError("owner must be a verified User, not an id")
        self._database = database
        self._owner = owner


class OwnedRepository(Owned, Generic[Row, Query]):
    """One user's rows of one table.

    A `Row` has all columns except for `owner_id`. A `Query` has a field for each of `filters`.

    Each method is one statement that names the owner, so nothing can happen between a check and
    a change. (If a change finds no row, a second statement finds out why.)
    """

    model: ClassVar[type[OwnedBase]]
    filters: ClassVar[tuple[Filter, ...]] = ()

    async def create(self, values: Mapping[str, Any]) -> Row:
        """Insert a row and return it.

        Raises MissingReference if it refers to a row that is missing or owned by another user, and
        TypeError for keys that are not its own columns.
        """
        at, values = now(), dict(values)
        statement = _insert(self.model, self._checked(values))
        rows = await self._run(statement, {**values, "created_at": at, "updated_at": at})
        return rows[0]

    async def get(self, id: UUID) -> Row:
        """Return a row. Raises NotFound if it is missing or owned by another user."""
        rows = await self._run(_select(self.model), {"id_": id})
        if not rows:
            raise NotFound
        return rows[0]

    async def update(self, id: UUID, changes: Mapping[str, Any], versions: Versions = None) -> Row:
        """Change a row and return it.

        Raises NotFound, PreconditionFailed if the row has none of `versions`, MissingReference if
        it would refer to a row that is missing or owned by another user, and TypeError for keys
        that are not its own columns.
        """
        changes, numbered = dict(changes), _numbered(versions)
        count = None if versions is None else len(numbered)
        statement = _update(self.model, self._checked(changes), count)
        rows = await self._run(statement, {**changes, **numbered, "id_": id})
        if not rows:
            raise await self._refusal(id, versions)
        return rows[0]

    async def delete(self, id: UUID, versions: Versions = None) -> None:
        """Delete a row.

        Raises NotFound, PreconditionFailed if it has none of `versions`, and StillReferenced if
        other rows refer to it.
        """
        numbered = _numbered(versions)
        statement = _delete(self.model, None if versions is None else len(numbered))
        try:
            deleted = await self._run(statement, {**numbered, "id_": id})
        except MissingReference as error:
            raise StillReferenced from error
        if not deleted:
            raise await self._refusal(id, versions)

    async def _run(self, statement: Executable, values: Mapping[str, Any]) -> list[Row]:
        """Run a statement that names `OWNER` and returns the columns of `Row`."""
        # The cast is free, and a test compares each row type with its model.
        return cast(list[Row], await self._database.run(statement, values, self._owner))

    def _checked(self, columns: Iterable[str]) -> frozenset[str]:
        own, names = _own_columns(self.model), frozenset(columns)
        # Exactly str: a subclass could compare equal to another name.
        if unknown := [name for name in names if type(name) is not str or name not in own]:
            listed = ", ".join(map(repr, unknown))
            raise TypeError(f"{self.model.__tablename__} has no column of its own named {listed}")
        return names

    async def _refusal(self, id: UUID, versions: Versions) -> NotFound | PreconditionFailed:
        """Return why nothing was changed. This read is safe, because no change depends on it."""
        if versions is None:
            return NotFound()
        try:
            await self.get(id)
        except NotFound as error:
            return error
        return PreconditionFailed()

    # Keep this method last: in annotations below it, `list` would mean the method.
    async def list(self, query: Query) -> tuple[list[Row], UUID | None]:
        """Return a page of rows, newest first, and the cursor of the next page, if any.

        A cursor is the id of the last row of the previous page, so every page costs the same.
        """
        given = tuple(each for each in self.filters if getattr(query, each.name) is not None)
        values = {each.name: getattr(query, each.name) for each in given}
        statement = _page(self.model, given, query.cursor is not None)
        position = {} if query.cursor is None else {"cursor_": query.cursor}
        rows = await self._run(statement, {**values, **position, "limit_": query.limit + 1})
        page = rows[: query.limit]
        return page, page[-1]["id"] if len(rows) > query.limit else None


class UserData(Owned):
    """Everything the service holds of one user, in every owned table."""

    async def erase(self) -> None:
        """Delete it all, or nothing if that fails."""
        async with self._database.transaction() as transaction:
            for statement in _erase():
                try:
                    await transaction.run(statement, owner=self._owner)
                except Conflict as error:
                    raise Unavailable("a row was added during the deletion of all") from error


# Building a statement takes as long as running one, so each is built once. The names of parameters
# end in an underscore where they could be confused with columns.


@lru_cache(MAX_STATEMENTS)
def _insert(model: type[OwnedBase], columns: frozenset[str]) -> Executable:
    names = columns | {"created_at", "updated_at"}
    values = {"owner_id": OWNER, **{name: bindparam(name) for name in names}}
    return insert(model).values(values).returning(*row_columns(model))


@cache
def _select(model: type[OwnedBase]) -> Executable:
    return select(*row_columns(model)).where(*_by_id(model))


@lru_cache(MAX_STATEMENTS)
def _page(model: type[OwnedBase], filters: tuple[Filter, ...], continues: bool) -> Executable:
    conditions = [each.condition() for each in filters]
    if continues:
        conditions.append(model.id < bindparam("cursor_"))
    page = select(*row_columns(model)).where(model.owner_id == OWNER, *conditions)
    return page.order_by(model.id.desc()).limit(bindparam("limit_"))


@lru_cache(MAX_STATEMENTS)
def _update(model: type[OwnedBase], columns: frozenset[str], versions: int | None) -> Executable:
    values: dict[str, Any] = {name: bindparam(name) for name in columns}
    values["version"] = model.version + bindparam("one_", 1)
    statement = update(model).where(*_by_id(model, versions)).values(values)
    return statement.returning(*row_columns(model))


@lru_cache(MAX_STATEMENTS)
def _delete(model: type[OwnedBase], versions: int | None) -> Executable:
    return delete(model).where(*_by_id(model, versions)).returning(model.id)


@cache
def _erase() -> list[Executable]:
    tables = reversed(Base.metadata.sorted_tables)  # those that refer to others come first
    owned = [table for table in tables if "owner_id" in table.columns]
    statements: list[Executable] = [_write_marker()]
    for table in owned:
        is_own = table.c.owner_id == OWNER
        statements += [statement.where(is_own) for statement in _cut_chains(table)]
        statements.append(delete(table).where(is_own))
    return statements


def _write_marker() -> Executable:
    """Insert a row that the deletion deletes, too.

    PostgreSQL waits for a synchronous standby only if a transaction writes. If an earlier request
    has already deleted everything, that deletion may not have reached the standby yet.
    """
    marker = {"key": "", "fingerprint": b"", "status": 0, "headers": [], "body": b""}
    return insert(IdempotencyKey).values(owner_id=OWNER, **marker)


def _cut_chains(table: Table) -> list[Update]:
    """Return statements after which no row refers to one of the same table with ON DELETE CASCADE.

    Without them, a chain of more than 1,000 rows could not be deleted: SQLite follows no more.
    """
    return [
        update(table).values({column: None for column in key.columns if column.nullable})
        for key in table.foreign_key_constraints
        if key.referred_table is table and key.ondelete == "CASCADE"
    ]


@cache
def _own_columns(model: type[OwnedBase]) -> frozenset[str]:
    """Return the columns that a resource adds to those of every owned table."""
    return frozenset(model.__table__.columns.keys()) - frozenset(OwnedBase.__annotations__)


def row_columns(model: type[OwnedBase]) -> list[ColumnElement[Any]]:
    """Return the columns of a row as repositories return it: all except for `owner_id`."""
    return [column for column in model.__table__.columns if column.name != "owner_id"]


def _by_id(model: type[OwnedBase], versions: int | None = None) -> list[ColumnElement[bool]]:
    conditions = [model.owner_id == OWNER, model.id == bindparam("id_")]
    if versions is not None:
        # Not `IN` over a list, which would have to be compiled for each request.
        named = (model.version == bindparam(f"version_{number}_") for number in range(versions))
        conditions.append(or_(false(), *named))
    return conditions


def _numbered(versions: Versions) -> dict[str, int]:
    """Return the parameters for versions. The last ones repeat the first version.

    Their number is a power of two, so that few different statements have to be prepared.
    """
    values = [*(versions or ())]
    if len(values) > MAX_VERSIONS:
        raise ValueError(f"at most {MAX_VERSIONS} versions are accepted")
    if values:
        values += values[:1] * ((1 << (len(values) - 1).bit_length()) - len(values))
    return {f"version_{number}_": version for number, version in enumerate(values)}
