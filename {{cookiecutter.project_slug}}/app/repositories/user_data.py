"""Everything that the service stores for one user."""

from functools import cache

from sqlalchemy import Executable, Table, Update, delete, update

from app.errors import Conflict, Unavailable
from app.models.base import OWNER, Base
from app.repositories.owned import Owned


class UserData(Owned):
    """The rows of one user in every owned table."""

    async def erase(self) -> None:
        """Delete all of them, or none if that fails."""
        async with self._database.transaction() as transaction:
            for statement in _deletions():
                try:
                    await transaction.run(statement, owner=self._owner)
                except Conflict as error:
                    raise Unavailable("a row was added during the deletion of all") from error


@cache
def _deletions() -> list[Executable]:
    """Return statements that delete a user's rows; tables that refer to others come first."""
    tables = reversed(Base.metadata.sorted_tables)
    owned = [table for table in tables if "owner_id" in table.columns]
    statements: list[Executable] = []
    for table in owned:
        is_own = table.c.owner_id == OWNER
        statements += [statement.where(is_own) for statement in _clear_self_references(table)]
        statements.append(delete(table).where(is_own))
    return statements


def _clear_self_references(table: Table) -> list[Update]:
    """Return statements after which no row refers to one of the same table with ON DELETE CASCADE.

    Without them, a chain of more than 1,000 rows could not be deleted: SQLite follows no more.
    """
    return [
        update(table).values({column: None for column in key.columns if column.nullable})
        for key in table.foreign_key_constraints
        if key.referred_table is table and key.ondelete == "CASCADE"
    ]
