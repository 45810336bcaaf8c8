"""The statements of `OwnedRepository`. Each one names the owner of its rows.

Building a statement takes as long as running it, so each statement is built once. The name of a
parameter ends in an underscore if it could be confused with a column.
"""

from functools import cache, lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Executable, bindparam

from app.models.base import OWNER, OwnedBase
from app.repositories.filters import Filter

MAX_STATEMENTS = 200  # of each kind; a resource has one for each combination of its columns

Names = tuple[str, ...] | None
"""The parameters for the versions that a row may have; None means any version."""


@lru_cache(MAX_STATEMENTS)
def insert(model: type[OwnedBase], columns: frozenset[str]) -> Executable:
    names = columns | {"created_at", "updated_at"}
    values = {"owner_id": OWNER, **{name: bindparam(name) for name in names}}
    return sa.insert(model).values(values).returning(*row_columns(model))


@cache
def select(model: type[OwnedBase]) -> Executable:
    return sa.select(*row_columns(model)).where(*_by_id(model))


@lru_cache(MAX_STATEMENTS)
def page(model: type[OwnedBase], filters: tuple[Filter, ...], continues: bool) -> Executable:
    conditions = [each.condition() for each in filters]
    if continues:
        conditions.append(model.id < bindparam("cursor_"))
    page = sa.select(*row_columns(model)).where(model.owner_id == OWNER, *conditions)
    return page.order_by(model.id.desc()).limit(bindparam("limit_"))


@lru_cache(MAX_STATEMENTS)
def update(model: type[OwnedBase], columns: frozenset[str], versions: Names) -> Executable:
    values: dict[str, Any] = {name: bindparam(name) for name in columns}
    values["version"] = model.version + bindparam("one_", 1)
    statement = sa.update(model).where(*_by_id(model, versions)).values(values)
    return statement.returning(*row_columns(model))


@lru_cache(MAX_STATEMENTS)
def delete(model: type[OwnedBase], versions: Names) -> Executable:
    return sa.delete(model).where(*_by_id(model, versions)).returning(model.id)


def row_columns(model: type[OwnedBase]) -> list[ColumnElement[Any]]:
    """Return the columns of a row as repositories return it: all except for `owner_id`."""
    return [column for column in model.__table__.columns if column.name != "owner_id"]


def _by_id(model: type[OwnedBase], versions: Names = None) -> list[ColumnElement[bool]]:
    conditions = [model.owner_id == OWNER, model.id == bindparam("id_")]
    if versions is not None:
        # Not `IN` over a list, which would have to be compiled for each request.
        matches = (model.version == bindparam(name) for name in versions)
        conditions.append(sa.or_(sa.false(), *matches))
    return conditions
