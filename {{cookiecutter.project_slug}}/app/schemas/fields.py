"""Types of request fields. The OpenAPI document states their rules."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any

from annotated_types import GroupedMetadata
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    StringConstraints,
    WithJsonSchema,
)

NO_NUL = r"^[^\x00]*$"  # PostgreSQL cannot store it; pydantic itself rejects lone surrogates
MAX_INTEGER = 2**53 - 1  # every JSON parser reads these exactly (RFC 8259, section 6)

EARLIEST, LATEST = (each.replace(tzinfo=UTC) for each in (datetime.min, datetime.max))


def _require_format(pattern: str, message: str) -> BeforeValidator:
    """Reject numbers and other texts, which pydantic would convert to dates and times."""

    def check(value: Any) -> Any:
        if isinstance(value, date) or (isinstance(value, str) and re.fullmatch(pattern, value)):
            return value
        raise ValueError(message)

    return BeforeValidator(check)


def _require_number(value: Any) -> Any:
    """Reject text and booleans, which pydantic would convert. 1.0 is an integer in JSON Schema."""
    if isinstance(value, str | bool):
        raise ValueError("must be a number")
    return value


def _to_utc(value: datetime) -> datetime:
    """Convert a time to UTC. Reject the earliest and latest, which asyncpg stores as infinity."""
    with suppress(OverflowError):
        if EARLIEST < (utc := value.astimezone(UTC)) < LATEST:
            return utc
    raise ValueError("must be within the years 1 to 9999 in UTC")


@dataclass(frozen=True)
class TrimmedText(GroupedMetadata):
    """Text that is trimmed, and then has 1 to `max_length` characters."""

    max_length: int

    def __iter__(self) -> Iterator[object]:
        yield StringConstraints(
            strip_whitespace=True, min_length=1, max_length=self.max_length, pattern=NO_NUL
        )
        # The limit is part of the pattern, because `maxLength` would count before trimming.
        pattern = r"^\s*[^\s\x00](?:[^\x00]{0,MAX}[^\s\x00])?\s*$"
        limited = pattern.replace("MAX", str(self.max_length - 2))
        yield WithJsonSchema({"type": "string", "minLength": 1, "pattern": limited})


ShortText = Annotated[str, TrimmedText(200)]
LongText = Annotated[str, StringConstraints(max_length=10_000, pattern=NO_NUL)]
Prefix = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_NUL)]
"""The beginning of a text, for filters."""
Integer = Annotated[int, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)]
StrictInteger = Annotated[Integer, BeforeValidator(_require_number)]
Number = Annotated[float, Field(allow_inf_nan=False)]
StrictNumber = Annotated[Number, BeforeValidator(_require_number)]
Date = Annotated[date, _require_format(r"\d{4}-\d\d-\d\d", "must be a date like 2026-01-31")]
Timestamp = Annotated[
    AwareDatetime,
    _require_format(
        r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)",
        "must be a time with an offset like 2026-01-31T12:00:00Z (RFC 3339)",
    ),
    AfterValidator(_to_utc),
]
"""A point in time, in UTC."""
