"""Types for the fields of requests, each with rules that the OpenAPI document states, too."""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    Strict,
    StringConstraints,
    WithJsonSchema,
)

MAX_SHORT_TEXT = 200
MAX_LONG_TEXT = 10_000
MAX_INTEGER = 2**53 - 1  # every JSON parser reads these exactly (RFC 8259, section 6)


def _only_as(pattern: str, message: str) -> BeforeValidator:
    """Reject numbers and other forms of text, which pydantic would take for times."""

    def check(value: Any) -> Any:
        if isinstance(value, date) or (isinstance(value, str) and re.fullmatch(pattern, value)):
            return value
        raise ValueError(message)

    return BeforeValidator(check)


def _to_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be within the years 1 to 9999 in UTC") from None


# PostgreSQL cannot store NUL. Lone surrogates are rejected by pydantic itself. The limit counts
# after trimming, so in the OpenAPI document it is a part of the pattern.
ShortText = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        min_length=1,
        max_length=MAX_SHORT_TEXT,
        pattern=r"^[^\x00]*$",
    ),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "pattern": r"^\s*[^\s\x00](?:[^\x00]{0,198}[^\s\x00])?\s*$",
        }
    ),
]
"""Text with something to read, trimmed."""
LongText = Annotated[str, StringConstraints(max_length=MAX_LONG_TEXT, pattern=r"^[^\x00]*$")]
Prefix = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_SHORT_TEXT, pattern=r"^[^\x00]*$")
]
"""The beginning of a text, to filter by."""
Integer = Annotated[int, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)]
StrictInteger = Annotated[Integer, Strict()]
Number = Annotated[float, Field(allow_inf_nan=False)]
StrictNumber = Annotated[Number, Strict()]
Date = Annotated[date, _only_as(r"\d{4}-\d\d-\d\d", "must be a date like 2026-01-31")]
Timestamp = Annotated[
    AwareDatetime,
    _only_as(
        r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)",
        "must be a time with an offset like 2026-01-31T12:00:00Z (RFC 3339)",
    ),
    AfterValidator(_to_utc),
]
"""A point in time, in UTC."""
