"""Base classes of the schemas of all resources."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field
from typing_extensions import TypedDict


class OwnedRow(TypedDict):
    id: UUID
    version: int
    created_at: datetime
    updated_at: datetime


class PageQuery(BaseModel):
    """The query parameters of every list. Subclasses add one for each filter."""

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Annotated[UUID | None, Field(description="The `next_cursor` of a page")] = None
