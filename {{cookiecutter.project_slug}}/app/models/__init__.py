"""All tables. Migrations and account deletion use only the models that are listed here."""

from app.models import idempotency_key as idempotency_key  # separate from yours, so updates merge
from app.models.base import Base
from app.models.task import Task

__all__ = ["Base", "Task"]
