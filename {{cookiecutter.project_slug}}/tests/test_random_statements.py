"""Statements that the owner check accepts neither read nor change rows of other users.

Random statements on tables with and without owners run twice: in a database with Ann's rows only,
and in one that has Bob's, too. Ann must see no difference.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    Connection,
    Executable,
    and_,
    delete,
    exists,
    false,
    func,
    insert,
    literal,
    not_,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app.models.base import OWNER
from tests.owner_check import UnscopedStatement, check_owner
from tests.two_users import ANN, BOB, Base, database_of, outcome

pytestmark = pytest.mark.slow

Draw = Any
TABLES = [table for table in Base.metadata.sorted_tables if table.name != "numbered"]
OWNED = [table for table in TABLES if "owner_id" in table.columns]
JOINS: list[dict[str, bool]] = [{}, {}, {"isouter": True}, {"full": True}]
DEPTH = 2  # of nested subqueries


@st.composite
def limits(draw: Draw, source: Any, others: list[Any]) -> Any:
    """Generate a condition that limits `source` to its owner, or only resembles one that does."""
    owner = source.c.get("owner_id")
    if owner is None:
        return true()
    other = draw(st.sampled_from(others)).c
    column = draw(st.sampled_from([*source.c, *other]))
    limited = owner == OWNER
    good = [limited] * 12 + [owner == OWNER, and_(limited, column == 1)]
    good += [owner == other.owner_id] * 4 if "owner_id" in other else []
    odd = [or_(limited, column == 1), owner >= OWNER, column == OWNER, owner == owner, true()]
    odd += [not_(limited), not_(and_(limited, false())), limited == true(), owner == column]
    return draw(st.sampled_from(good if draw(st.integers(0, 9)) < 7 else odd))


@st.composite
def conditions(draw: Draw, sources: list[Any], depth: int) -> Any:
    """Generate a condition that does not limit the owner. It may read other tables."""
    column = draw(st.sampled_from([column for source in sources for column in source.c]))
    other = draw(st.sampled_from([column for source in sources for column in source.c]))
    match draw(st.sampled_from(["value", "columns", "in", "exists", "scalar"])):
        case "columns":
            return column == other
        case "in" if depth:
            return column.in_(draw(selects(depth - 1, sources, width=1)))
        case "exists" if depth:
            return exists(draw(selects(depth - 1, sources)))
        case "scalar" if depth:
            return column == draw(selects(depth - 1, sources, width=1)).scalar_subquery()
        case _:
            some = [column == 1, column != 2, column >= OWNER, column.is_(null()), true(), false()]
            condition = draw(st.sampled_from(some))
            return not_(condition) if draw(st.booleans()) else or_(condition, other == column)


@st.composite
def sources(draw: Draw, depth: int) -> Any:
    table = draw(st.sampled_from([*OWNED, *TABLES]))
    kinds = ["table"] * 4 + ["alias"] * 2 + ["subquery", "cte"] * bool(depth)
    match draw(st.sampled_from(kinds)):
        case "alias":
            return table.alias()
        case "subquery":
            return draw(selects(depth - 1, [])).subquery()
        case "cte":
            return draw(selects(depth - 1, [])).cte()
        case _:
            return table


@st.composite
def selects(draw: Draw, depth: int, outer: list[Any], width: int | None = None) -> Any:
    """Generate a SELECT that may refer to tables of the enclosing statement."""
    own = draw(st.lists(sources(depth), min_size=1, max_size=3))
    visible = [*own, *own, *outer]
    where = [draw(limits(source, visible)) for source in own]
    tree: Any = own[0]
    rest = []
    for source in own[1:]:
        if draw(st.integers(0, 3)):
            left, right = draw(st.permutations([tree, source]))
            # The condition that limits a table may be in any of the joins.
            on = [where.pop(draw(st.integers(0, len(where) - 1)))] if draw(st.booleans()) else []
            on += draw(st.lists(limits(source, own) | conditions(own, depth), max_size=1))
            tree = left.join(right, and_(true(), *on), **draw(st.sampled_from(JOINS)))
        else:
            rest.append(source)
    columns = [column for source in own for column in source.c]
    chosen = draw(st.lists(st.sampled_from(columns), min_size=width or 1, max_size=width or 3))
    if draw(st.integers(0, 5)) == 0:
        chosen = [func.count()] if width else [func.count(), func.max(chosen[0])]
    labels = [column.label(f"x{number}") for number, column in enumerate(chosen)]
    owners = [source.c.owner_id for source in own if "owner_id" in source.c]
    if owners and not width and draw(st.booleans()):
        labels.append(owners[0].label("owner_id"))
    query = select(*labels).select_from(tree, *rest).where(*where)
    for condition in draw(st.lists(conditions(visible, depth), max_size=1)):
        query = query.where(condition)
    if depth and draw(st.integers(0, 7)) == 0:
        like = draw(selects(depth - 1, outer, width=len(labels)))
        return query.union_all(like) if len(like.selected_columns) == len(labels) else query
    return query


@st.composite
def changes(draw: Draw) -> Any:
    table = draw(st.sampled_from(OWNED))
    others = draw(st.lists(sources(1), max_size=1))
    here = [table, *others]
    where = [draw(limits(source, here)) for source in here]
    where += draw(st.lists(conditions(here, 1), max_size=1))
    column = table.c[{"notes": "size", "tags": "notes"}[table.name]]
    value = draw(st.sampled_from([1, column, OWNER, *(next(iter(one.c)) for one in others)]))
    if draw(st.booleans()):
        value = draw(selects(1, [table], width=1)).scalar_subquery()
    owner = draw(st.sampled_from([OWNER, OWNER, OWNER, literal(BOB), value]))
    target = draw(st.sampled_from([column, column, column, column, table.c.owner_id]))
    match draw(st.sampled_from(["insert", "select", "update", "update", "delete"])):
        case "insert":
            statement: Any = insert(table).values({"owner_id": owner, "id": 9, column.key: value})
        case "select":
            return insert(table).from_select(
                ["owner_id", "id"], select(owner, func.max(table.c.id) + 1).where(*where)
            )
        case "update":
            statement = update(table).where(*where).values({target: value})
        case _:
            return delete(table).where(*where)
    return statement.returning(table.c.id) if draw(st.booleans()) else statement


@pytest.fixture(scope="module")
def connections() -> Iterator[tuple[Connection, Connection]]:
    with database_of(ANN) as alone, database_of(ANN, BOB) as shared:
        yield alone, shared


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(statement=selects(DEPTH, []) | changes())
def test_accepted_statement_does_not_depend_on_other_users(
    connections: tuple[Connection, Connection], statement: Executable
) -> None:
    alone, shared = connections
    try:
        check_owner(statement, sqlite.dialect(), Base.metadata)
    except UnscopedStatement:
        event("rejected")
        return
    except (SQLAlchemyError, NotImplementedError):
        assume(False)
    bobs = outcome(shared, select(literal(1)))[2]
    try:
        returned, hers, others = outcome(shared, statement)
    except DBAPIError:
        shared.rollback()
        assume(False)
    event("accepted")

    assert (returned, hers, []) == outcome(alone, statement)
    assert others == bobs
