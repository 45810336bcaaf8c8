"""The place of ownership: nothing below `/api/v1` reaches a row by any other way."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import ColumnElement, Row, delete, insert, select, update

from app.database import Base, Database, OwnedBase
from app.errors import NotFound, PreconditionFailed
from app.security.verifier import User

Record = Row[Any]
"""A row of the repository's table, with its columns as attributes."""

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
        statement = insert(self.model).values(**values, owner_id=self._owner_id)
        [row] = await self._database.run(statement.returning(*self._columns))
        return row

    async def get(self, id: UUID) -> Record:
        """Raises NotFound, also when the row is somebody else's."""
        rows = await self._database.run(select(*self._columns).where(*self._mine(id)))
        if not rows:
            raise NotFound
        return rows[0]

    async def page(
        self, limit: int, after: UUID | None, *conditions: ColumnElement[bool]
    ) -> tuple[Sequence[Record], UUID | None]:
        """At most `limit` rows, newest first, and the position to continue after, if there is more.

        A position is the last id seen, so a page costs the same wherever it begins.
        """
        statement = (
            select(*self._columns)
            .where(self.model.owner_id == self._owner_id, *conditions)
            .order_by(self.model.id.desc())
            .limit(limit + 1)
        )
        if after:
            statement = statement.where(self.model.id < after)
        rows = await self._database.run(statement)
        return rows[:limit], rows[limit - 1].id if len(rows) > limit else None

    async def update(
        self, id: UUID, changes: Mapping[str, Any], versions: Versions = None
    ) -> Record:
        """Raises NotFound, or PreconditionFailed if the row has none of `versions`."""
        statement = (
            update(self.model)
            .where(*self._mine(id, versions))
            .values(**changes, version=self.model.version + 1)
            .returning(*self._columns)
        )
        rows = await self._database.run(statement)
        if not rows:
            raise await self._refusal(id, versions)
        return rows[0]

    async def delete(self, id: UUID, versions: Versions = None) -> None:
        """Raises NotFound, or PreconditionFailed if the row has none of `versions`."""
        statement = delete(self.model).where(*self._mine(id, versions)).returning(self.model.id)
        if not await self._database.run(statement):
            raise await self._refusal(id, versions)

    @property
    def _columns(self) -> Sequence[ColumnElement[Any]]:
        return tuple(self.model.__table__.columns)

    def _mine(self, id: UUID, versions: Versions = None) -> list[ColumnElement[bool]]:
        conditions = [self.model.owner_id == self._owner_id, self.model.id == id]
        if versions is not None:
            conditions.append(self.model.version.in_(versions))
        return conditions

    async def _refusal(self, id: UUID, versions: Versions) -> NotFound | PreconditionFailed:
        """Why nothing was changed. Nothing depends on it any more, so a second look is safe."""
        if versions is not None:
            try:
                await self.get(id)
            except NotFound as error:
                return error
            return PreconditionFailed()
        return NotFound()


class Belongings(Owned):
    """Everything the service holds of one user, in every owned table."""

    async def erase(self) -> None:
        """Delete it all, or nothing if that fails."""
        tables = reversed(Base.metadata.sorted_tables)  # those that refer to others come first
        owned = [table for table in tables if "owner_id" in table.columns]
        async with self._database.transaction() as connection:
            for table in owned:
                await connection.execute(delete(table).where(table.c.owner_id == self._owner_id))
