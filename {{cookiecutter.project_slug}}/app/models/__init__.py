"""All tables. A model is listed here, or neither migrations nor account deletion know of it."""

from app.models.base import Base
from app.models.idempotency_key import IdempotencyKey
from app.models.task import Task

__all__ = ["Base", "IdempotencyKey", "Task"]
