"""Filters of lists, as repositories declare them."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import eq
from typing import Any

from sqlalchemy import ColumnElement, bindparam
from sqlalchemy.orm import InstrumentedAttribute


@dataclass(frozen=True, eq=False)
class Filter:
    """A query parameter `name` that selects the rows for which `operator(column, value)` is true.

    Operators are `eq`, `ge`, `le` and others of Python's `operator`, and `begins_with` of
    `app.engine`. `unindexed` is the reason if no index begins with the owner and this column.
    """

    name: str
    column: InstrumentedAttribute[Any]
    operator: Callable[[Any, Any], ColumnElement[bool]] = eq
    unindexed: str | None = None

    def condition(self) -> ColumnElement[bool]:
        """Return the SQL condition, in which the value is the parameter `name`."""
        return self.operator(self.column, bindparam(self.name, type_=self.column.type))
