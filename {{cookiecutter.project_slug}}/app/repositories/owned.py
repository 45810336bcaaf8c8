"""The place of ownership: nothing below `/api/v1` reaches a row by any other way."""

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import ColumnElement, Executable, bindparam, delete, insert, select, update

from app.database import Base, Database, OwnedBase, Record, now
from app.errors import NotFound, PreconditionFailed
from app.security.verifier import User

Versions = frozenset[int] | None
"""The versions a change may apply to; None stands for any."""


class Owned:
    """Something of one user. Only a verified `User` can be an owner, so no text will do."""

    def __init__(self, database: Database, owner: User) -> None:
        self._database = database
        self._owner_id = owner.id


class OwnedRepository(Owned):
    """One user's rows of one table.

    Each method is one statement that carries the owner (a refused change looks once more, to
    say why): an unscoped query cannot be written, and there is no moment between a check and
    the act.
    """

    model: ClassVar[type[OwnedBase]]

    async def create(self, values: Mapping[str, Any]) -> Record:
        at = now()
        [row] = await self._run(_insert(self.model), {"created_at": at, "updated_at": at, **values})
        return row

    async def get(self, id: UUID) -> Record:
        """Raises NotFound, also when the row is somebody else's."""
        rows = await self._run(_select(self.model), {"id_": id})
        if not rows:
            raise NotFound
        return rows[0]

    async def page(
        self, limit: int, after: UUID | None, equal: Mapping[str, Any]
    ) -> tuple[list[Record], UUID | None]:
        """At most `limit` rows, newest first, and the position to continue after, if there is more.

        Only those with the values of `equal`, by column. A position is the last id seen, so a page
        costs the same wherever it begins.
        """
        statement = _page(self.model, after is not None, frozenset(equal))
        rows = await self._run(statement, {"limit_": limit + 1, "after_": after, **equal})
        return rows[:limit], rows[limit - 1]["id"] if len(rows) > limit else None

    async def update(
        self, id: UUID, changes: Mapping[str, Any], versions: Versions = None
    ) -> Record:
        """Raises NotFound, or PreconditionFailed if the row has none of `versions`."""
        statement = _update(self.model, versions is not None)
        rows = await self._run(statement, {"id_": id, "versions_": versions, **changes})
        if not rows:
            raise await self._refusal(id, versions)
        return rows[0]

    async def delete(self, id: UUID, versions: Versions = None) -> None:
        """Raises NotFound, or PreconditionFailed if the row has none of `versions`."""
        statement = _delete(self.model, versions is not None)
        if not await self._run(statement, {"id_": id, "versions_": versions}):
            raise await self._refusal(id, versions)

    async def _run(self, statement: Executable, parameters: Mapping[str, Any]) -> list[Record]:
        return await self._database.run(statement, {"owner_": self._owner_id, **parameters})

    async def _refusal(self, id: UUID, versions: Versions) -> NotFound | PreconditionFailed:
        """Why nothing was changed. Nothing depends on it any more, so a second look is safe."""
        if versions is not None:
            try:
                await self.get(id)
            except NotFound as error:
                return error
            return PreconditionFailed()
        return NotFound()


# The statements, each put together once: that takes as long as running one. Parameters end in an
# underscore, so that they cannot be taken for columns.


@cache
def _insert(model: type[OwnedBase]) -> Executable:
    return insert(model).values(owner_id=bindparam("owner_")).returning(*_shown(model))


@cache
def _select(model: type[OwnedBase]) -> Executable:
    return select(*_shown(model)).where(*_one(model))


@cache
def _page(model: type[OwnedBase], continues: bool, equal: frozenset[str]) -> Executable:
    conditions = [_mine(model), *(getattr(model, name) == bindparam(name) for name in equal)]
    if continues:
        conditions.append(model.id < bindparam("after_"))
    page = select(*_shown(model)).where(*conditions).order_by(model.id.desc())
    return page.limit(bindparam("limit_"))


@cache
def _update(model: type[OwnedBase], versioned: bool) -> Executable:
    change = update(model).where(*_one(model, versioned)).values(version=model.version + 1)
    return change.returning(*_shown(model))


@cache
def _delete(model: type[OwnedBase], versioned: bool) -> Executable:
    return delete(model).where(*_one(model, versioned)).returning(model.id)


def _shown(model: type[OwnedBase]) -> list[ColumnElement[Any]]:
    return [column for column in model.__table__.columns if column.name != "owner_id"]


def _mine(model: type[OwnedBase]) -> ColumnElement[bool]:
    return model.owner_id == bindparam("owner_")


def _one(model: type[OwnedBase], versioned: bool = False) -> list[ColumnElement[bool]]:
    conditions = [_mine(model), model.id == bindparam("id_")]
    if versioned:
        conditions.append(model.version.in_(bindparam("versions_", expanding=True)))
    return conditions


class Belongings(Owned):
    """Everything the service holds of one user, in every owned table."""

    async def erase(self) -> None:
        """Delete it all, or nothing if that fails."""
        tables = reversed(Base.metadata.sorted_tables)  # those that refer to others come first
        owned = [table for table in tables if "owner_id" in table.columns]
        async with self._database.transaction() as connection:
            for table in owned:
                await connection.execute(delete(table).where(table.c.owner_id == self._owner_id))
