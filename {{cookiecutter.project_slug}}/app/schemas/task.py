"""What goes in and out of `/tasks`."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import (
    MISSING,
    BaseModel,
    ConfigDict,
    StrictBool,
    StringConstraints,
    TypeAdapter,
)
from typing_extensions import TypedDict

# One pattern for both rules, so that the OpenAPI document tells them too: something to read, and
# no NUL, which PostgreSQL cannot store. Lone surrogates are refused by pydantic itself.
Title = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00]*[^\s\x00][^\x00]*$",
    ),
]
Description = Annotated[str, StringConstraints(max_length=10_000, pattern=r"^[^\x00]*$")]


class TaskCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: Title
    description: Description | None = None
    completed: StrictBool = False


class TaskUpdate(BaseModel):
    """An absent field stays as it is and is absent from the dump too; `null` is a value."""

    model_config = ConfigDict(extra="forbid")

    title: Title | MISSING = MISSING
    description: Description | MISSING | None = MISSING
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


TASK = TypeAdapter(TaskRead)
PAGE = TypeAdapter(TaskPage)
