"""Everything that the service stores for one user."""

from functools import cache

from sqlalchemy import Executable, Table, Update, delete, insert, update

from app.errors import Conflict, Unavailable
from app.models.base import OWNER, Base
from app.models.idempotency_key import IdempotencyKey
from app.repositories.owned import Owned


class UserData(Owned):
    """The rows of one user in every owned table."""

    async def erase(self) -> None:
        """Delete all rows of the user, or none if an error occurs."""
        async with self._database.transaction() as transaction:
            for statement in _deletions():
                try:
                    await transaction.run(statement, owner=self._owner)
                except Conflict as error:
                    raise Unavailable("a row was added during the deletion of all") from error


@cache
def _deletions() -> list[Executable]:
    """Return statements that delete all rows of a user."""
    tables = reversed(Base.metadata.sorted_tables)  # those that refer to others come first
    owned = [table for table in tables if "owner_id" in table.columns]
    statements: list[Executable] = [_insert_marker()]
    for table in owned:
        is_own = table.c.owner_id == OWNER
        statements += [statement.where(is_own) for statement in _clear_self_references(table)]
        statements.append(delete(table).where(is_own))
    return statements


def _insert_marker() -> Executable:
    """Return a statement that inserts a row, which the deletions delete, too.

    PostgreSQL waits for a synchronous standby only if a transaction writes. If an earlier request
    has already deleted everything, that deletion may not have reached the standby yet.
    """
    marker = {"key": "", "fingerprint": b"", "status": 0, "headers": [], "body": b""}
    return insert(IdempotencyKey).values(owner_id=OWNER, **marker)


def _clear_self_references(table: Table) -> list[Update]:
    """Return statements that clear references with ON DELETE CASCADE within the same table.

    Otherwise, SQLite could not delete a chain of more than 1,000 rows, which is its limit.
    """
    return [
        update(table).values({column: None for column in key.columns if column.nullable})
        for key in table.foreign_key_constraints
        if key.referred_table is table and key.ondelete == "CASCADE"
    ]
