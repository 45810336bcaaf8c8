"""All tables. A model is listed here, or neither migrations nor account deletion know of it."""

from app.models import idempotency_key as idempotency_key  # separate from yours, so updates merge
from app.models.base import Base
from app.models.task import Task

__all__ = ["Base", "Task"]
