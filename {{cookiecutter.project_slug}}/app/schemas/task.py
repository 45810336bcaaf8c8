"""Request and response bodies of `/tasks`, and its query parameters."""

from datetime import datetime
from uuid import UUID

from pydantic import MISSING, BaseModel, ConfigDict, StrictBool, TypeAdapter
from typing_extensions import TypedDict

from app.schemas.fields import LongText, ShortText
from app.schemas.owned import PageQuery


class TaskCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: ShortText
    description: LongText | None = None
    completed: StrictBool = False


class TaskUpdate(BaseModel):
    """Absent fields are left unchanged, and are absent from the dump. `null` is a value."""

    model_config = ConfigDict(extra="forbid")

    title: ShortText | MISSING = MISSING
    description: LongText | MISSING | None = MISSING
    completed: StrictBool | MISSING = MISSING


class TaskRead(TypedDict):
    id: UUID
    title: str
    description: str | None
    completed: bool
    version: int
    created_at: datetime
    updated_at: datetime


class TaskPage(TypedDict):
    items: list[TaskRead]
    next_cursor: UUID | None


class TaskQuery(PageQuery):
    completed: bool | None = None


TASK = TypeAdapter(TaskRead)
PAGE = TypeAdapter(TaskPage)
