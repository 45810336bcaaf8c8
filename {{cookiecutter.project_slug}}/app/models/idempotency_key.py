from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from app.engine import TABLE_OPTIONS, UtcDateTime
from app.models.base import Base, now


class IdempotencyKey(Base):
    """A key that a user has sent with a request, and the response to that request."""

    __tablename__ = "idempotency_keys"
    # The indexes find the expired keys of all users, and the oldest keys of one user. Without the
    # second one, SQLite would read all bodies of that user, because they precede `created_at`.
    __table_args__ = (
        Index(None, "created_at"),
        Index(None, "owner_id", "created_at"),
        TABLE_OPTIONS,
    )

    owner_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int] = mapped_column()
    headers: Mapped[Any] = mapped_column(JSON)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
