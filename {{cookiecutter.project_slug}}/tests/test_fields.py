"""The types of request fields, including those that no resource uses yet."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import String, literal, select

from app.database import Database
from app.engine import begins_with
from app.schemas.fields import (
    Date,
    Integer,
    Number,
    ShortText,
    StrictInteger,
    StrictNumber,
    Timestamp,
)

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ACCEPTED: list[tuple[Any, Any, Any]] = [
    (ShortText, f" \n{'x' * 200}\t", "x" * 200),
    (StrictInteger, 1, 1),
    (StrictInteger, 5.0, 5),
    (StrictInteger, -(2**53) + 1, -(2**53) + 1),
    (StrictNumber, 1, 1.0),
    (StrictNumber, -1e300, -1e300),
    (Integer, "1", 1),
    (Number, "1.5", 1.5),
    (Date, "2026-01-31", date(2026, 1, 31)),
    (Date, date(2026, 1, 31), date(2026, 1, 31)),
    (Timestamp, "2026-01-31T12:00:00Z", NOON),
    (Timestamp, "2026-01-31t13:00:00.0+01:00", NOON),
    (Timestamp, NOON, NOON),
]
REJECTED: list[tuple[Any, Any]] = [
    *((ShortText, value) for value in ("", " \n", "x" * 201, "a\x00b", 1, None)),
    *((StrictInteger, value) for value in ("1", True, 1.5, 2**53, 1e300, None)),
    *((StrictNumber, value) for value in ("1", True, float("nan"), float("inf"), None)),
    *((Integer, value) for value in ("x", "1.5", str(2**53))),
    *((Number, value) for value in ("x", "nan", "-inf")),
    *((Date, value) for value in (1, "0", "1769860800", "2026-02-30", "2026-01-31T00:00:00Z")),
    *((Timestamp, value) for value in (1, "1", "2026-01-31", "2026-01-31T12:00:00", None)),
    *((Timestamp, value) for value in ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00")),
]


@pytest.mark.parametrize(
    ("kind", "value", "expected"), ACCEPTED, ids=map(str, range(len(ACCEPTED)))
)
def test_accepted_value_has_the_type_and_form_of_the_database(
    kind: Any, value: Any, expected: Any
) -> None:
    validated = TypeAdapter(kind).validate_python(value)

    assert (validated, type(validated)) == (expected, type(expected))


@pytest.mark.parametrize(("kind", "value"), REJECTED, ids=range(len(REJECTED)))
def test_value_of_another_form_is_rejected(kind: Any, value: Any) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(value)


@pytest.mark.parametrize(
    ("text", "prefix", "expected"),
    [
        ("Buy milk", "Buy", True),
        ("Buy milk", "Buy milk", True),
        ("Buy milk", "buy", False),
        ("Buy milk", "Buy milk ", False),
        ("100% sure", "100%", True),
        ("1000", "100%", False),
        ("a_b", "a_", True),
        ("axb", "a_", False),
        ("x\U0010ffff", "x", True),
        ("買牛奶", "買", True),
        ("y", "x", False),
    ],
)
async def test_begins_with_respects_case_and_has_no_wildcards(
    database: Database, text: str, prefix: str, expected: bool
) -> None:
    condition = begins_with(literal(text, String), literal(prefix, String))

    [row] = await database.run(select(condition.label("begins")))

    assert bool(row["begins"]) is expected
