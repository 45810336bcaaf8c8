"""What lists can be filtered by."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import eq
from typing import Any

from sqlalchemy import ColumnElement, bindparam
from sqlalchemy.orm import InstrumentedAttribute


@dataclass(frozen=True, eq=False)
class Filter:
    """A parameter of a list, which returns the rows for which `operator(column, value)` holds.

    Operators are `eq`, `ge`, `le` and others of Python's `operator`, and `begins_with` of
    `app.engine`. `unindexed` says why no index begins with the owner and this column.
    """

    name: str
    column: InstrumentedAttribute[Any]
    operator: Callable[[Any, Any], ColumnElement[bool]] = eq
    unindexed: str | None = None

    def condition(self) -> ColumnElement[bool]:
        """Return the condition, with `name` as the parameter of the value."""
        return self.operator(self.column, bindparam(self.name, type_=self.column.type))
