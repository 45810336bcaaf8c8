"""The keys of one user's requests, each with the response to its request."""

from datetime import datetime, timedelta
from typing import TypedDict, cast

from sqlalchemy import bindparam, delete, insert, select

from app.models.base import OWNER, now
from app.models.idempotency_key import IdempotencyKey
from app.repositories.owned import Owned

LIFETIME = timedelta(days=1)
MAX_KEYS = 10_000  # of a user; older ones are deleted
EXPIRED = "expired keys of all users"  # the reason for a statement without an owner
MAX_PRUNED = 1_000  # at once: a longer deletion could time out each time


class StoredResponse(TypedDict):
    fingerprint: bytes
    """A hash of the request's method, path, query and body."""
    status: int
    headers: list[tuple[str, str]]
    body: bytes


_columns = {name: getattr(IdempotencyKey, name) for name in StoredResponse.__annotations__}
_is_own = IdempotencyKey.owner_id == OWNER
_has_key = IdempotencyKey.key == bindparam("key_")
_is_expired = IdempotencyKey.created_at <= bindparam("before_")
_newest = (
    select(IdempotencyKey.created_at)
    .where(_is_own)
    .order_by(IdempotencyKey.created_at.desc())
    .offset(bindparam("number_"))
    .limit(1)
)
_stored = select(*_columns.values(), IdempotencyKey.created_at).where(_is_own, _has_key)
# The lock is a write, so PostgreSQL waits until a synchronous standby has it, and the response with
# it. Otherwise the response could be that of a COMMIT that was canceled during this wait: other
# sessions see its changes, but a failover would lose them. SQLite ignores FOR UPDATE.
SELECT = _stored.with_for_update()
INSERT = insert(IdempotencyKey).values(
    {"owner_id": OWNER, "key": bindparam("key_")} | {name: bindparam(name) for name in _columns}
)
DELETE_ONE = delete(IdempotencyKey).where(_is_own, _has_key, _is_expired)
_oldest = select(IdempotencyKey.created_at).order_by(IdempotencyKey.created_at)
_last_pruned = _oldest.offset(bindparam("number_")).limit(1)
SELECT_LAST_PRUNED = _last_pruned.execution_options(unscoped=EXPIRED)
DELETE_EXPIRED = delete(IdempotencyKey).where(_is_expired).execution_options(unscoped=EXPIRED)
DELETE_EXCESS = delete(IdempotencyKey).where(
    _is_own, IdempotencyKey.created_at <= _newest.scalar_subquery()
)


class IdempotencyKeys(Owned):
    async def get(self, key: str) -> StoredResponse | None:
        """Return the response that was stored with a key, unless the key has expired."""
        rows = await self._database.run(SELECT, {"key_": key}, self._owner)
        if not rows:
            return None
        if rows[0].pop("created_at") <= _expiry():
            await self._database.run(DELETE_ONE, {"key_": key, "before_": _expiry()}, self._owner)
            return None
        return cast(StoredResponse, cast(object, rows[0]))

    async def add(self, key: str, response: StoredResponse) -> None:
        """Store a response. Raises Conflict if the key has one."""
        await self._database.run(INSERT, {"key_": key, **response}, self._owner)

    async def prune(self) -> None:
        """Delete the oldest keys of this user above MAX_KEYS, and the expired ones of all users.

        At most about MAX_PRUNED expired keys are deleted at once.
        """
        await self._database.run(DELETE_EXCESS, {"number_": MAX_KEYS}, self._owner)
        rest = await self._database.run(SELECT_LAST_PRUNED, {"number_": MAX_PRUNED})
        before = min([_expiry(), *(row["created_at"] for row in rest)])
        await self._database.run(DELETE_EXPIRED, {"before_": before})


def _expiry() -> datetime:
    return now() - LIFETIME
