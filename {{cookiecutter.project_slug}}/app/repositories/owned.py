"""Ownership: each statement of a repository names the owner of the rows."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, ClassVar, Generic, TypeVar, cast
from uuid import UUID

from sqlalchemy import Executable

from app.database import Runner
from app.errors import MissingReference, NotFound, PreconditionFailed, StillReferenced
from app.models.base import OwnedBase, now
from app.repositories import statements
from app.repositories.filters import Filter
from app.schemas.owned import OwnedRow, PageQuery
from app.security.verifier import User

MAX_VERSIONS = 100

Row = TypeVar("Row", bound=OwnedRow)
Query = TypeVar("Query", bound=PageQuery)
Versions = frozenset[int] | None
"""The versions to which a change may apply; None means any version."""


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

    Each method is one statement that names the owner, so no other request can intervene between
    a check and a change. (If a change matches no row, a second statement determines why.)
    """

    model: ClassVar[type[OwnedBase]]
    filters: ClassVar[tuple[Filter, ...]] = ()

    async def create(self, values: Mapping[str, Any]) -> Row:
        """Insert a row and return it.

        Raises MissingReference if it refers to a row that is missing or owned by another user, and
        TypeError for keys that are not its own columns.
        """
        at, values = now(), dict(values)
        statement = statements.insert(self.model, self._checked_columns(values))
        rows = await self._run(statement, {**values, "created_at": at, "updated_at": at})
        return rows[0]

    async def get(self, id: UUID) -> Row:
        """Return a row. Raises NotFound if it is missing or owned by another user."""
        rows = await self._run(statements.select(self.model), {"id_": id})
        if not rows:
            raise NotFound
        return rows[0]

    async def update(self, id: UUID, changes: Mapping[str, Any], versions: Versions = None) -> Row:
        """Change a row and return it.

        Raises NotFound, PreconditionFailed if the row has none of `versions`, MissingReference if
        it would refer to a row that is missing or owned by another user, and TypeError for keys
        that are not its own columns.
        """
        changes, expected = dict(changes), _version_parameters(versions)
        statement = statements.update(self.model, self._checked_columns(changes), _names(expected))
        rows = await self._run(statement, {**changes, **(expected or {}), "id_": id})
        if not rows:
            raise await self._why_unchanged(id, versions)
        return rows[0]

    async def delete(self, id: UUID, versions: Versions = None) -> None:
        """Delete a row.

        Raises NotFound, PreconditionFailed if it has none of `versions`, and StillReferenced if
        other rows refer to it.
        """
        expected = _version_parameters(versions)
        statement = statements.delete(self.model, _names(expected))
        try:
            deleted = await self._run(statement, {**(expected or {}), "id_": id})
        except MissingReference as error:  # the foreign key of a row that refers to this one
            raise StillReferenced from error
        if not deleted:
            raise await self._why_unchanged(id, versions)

    async def _run(self, statement: Executable, values: Mapping[str, Any]) -> list[Row]:
        """Run a statement that names `OWNER` and returns the columns of `Row`."""
        # Not checked here, but a test compares each row type with its model.
        return cast(list[Row], await self._database.run(statement, values, self._owner))

    def _checked_columns(self, columns: Iterable[str]) -> frozenset[str]:
        own, names = _own_columns(self.model), frozenset(columns)
        # Exactly `str`, because a subclass could compare equal to another name.
        if unknown := [name for name in names if type(name) is not str or name not in own]:
            listed = ", ".join(map(repr, unknown))
            raise TypeError(f"{self.model.__tablename__} has no column of its own named {listed}")
        return names

    async def _why_unchanged(self, id: UUID, versions: Versions) -> NotFound | PreconditionFailed:
        """Return why a statement has changed no row. No change depends on this read."""
        if versions is None:
            return NotFound()
        try:
            await self.get(id)
        except NotFound as error:
            return error
        return PreconditionFailed()

    # The last method, because `list` in later annotations would mean this one.
    async def list(self, query: Query) -> tuple[list[Row], UUID | None]:
        """Return a page of rows, newest first, and the cursor of the next page, if any.

        A cursor is the id of the last row of the previous page, so every page costs the same.
        """
        given = tuple(each for each in self.filters if getattr(query, each.name) is not None)
        values = {each.name: getattr(query, each.name) for each in given}
        statement = statements.page(self.model, given, query.cursor is not None)
        position = {} if query.cursor is None else {"cursor_": query.cursor}
        rows = await self._run(statement, {**values, **position, "limit_": query.limit + 1})
        page = rows[: query.limit]
        return page, page[-1]["id"] if len(rows) > query.limit else None


@cache
def _own_columns(model: type[OwnedBase]) -> frozenset[str]:
    """Return the columns that a resource adds to those of every owned table."""
    return frozenset(model.__table__.columns.keys()) - frozenset(OwnedBase.__annotations__)


def _version_parameters(versions: Versions) -> dict[str, int] | None:
    """Return the parameters of a statement for these versions; None if any version is allowed.

    Their number is a power of two, so that only a few different statements are prepared. The
    additional parameters repeat the first version.
    """
    if versions is None:
        return None
    values = [*versions]
    if len(values) > MAX_VERSIONS:
        raise ValueError(f"at most {MAX_VERSIONS} versions are accepted")
    if values:
        values += values[:1] * ((1 << (len(values) - 1).bit_length()) - len(values))
    return {f"version_{number}_": version for number, version in enumerate(values)}


def _names(parameters: Mapping[str, int] | None) -> tuple[str, ...] | None:
    return None if parameters is None else tuple(parameters)
