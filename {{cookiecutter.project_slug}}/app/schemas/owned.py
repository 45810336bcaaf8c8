"""The fields that the rows of all resources have."""

from datetime import datetime
from uuid import UUID

from typing_extensions import TypedDict


class OwnedRow(TypedDict):
    id: UUID
    version: int
    created_at: datetime
    updated_at: datetime
