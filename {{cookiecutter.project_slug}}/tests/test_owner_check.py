"""A statement that is not limited to the rows of its owner raises UnscopedStatement."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import (
    Connection,
    Dialect,
    Executable,
    Integer,
    MetaData,
    String,
    and_,
    bindparam,
    case,
    cast,
    collate,
    column,
    delete,
    exists,
    false,
    func,
    insert,
    join,
    lambda_stmt,
    lateral,
    literal,
    literal_column,
    not_,
    or_,
    quoted_name,
    select,
    table,
    text,
    true,
    tuple_,
    type_coerce,
    union_all,
    update,
    values,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.exc import CompileError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import aliased, joinedload
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.elements import ColumnElement, TString, _TStringText
from sqlalchemy.sql.functions import FunctionElement

from app.models.base import OWNER
from tests.owner_check import UnscopedStatement, check_owner
from tests.two_users import ANN, BOB, Base, Note, Numbered, Place, Tag, database_of, outcome

POSTGRESQL: Dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]
DIALECTS = [sqlite.dialect(), POSTGRESQL]

notes = Base.metadata.tables["notes"]
other = aliased(Note)
inner = notes.alias("inner_notes")
MINE = Note.owner_id == OWNER
TAGS_MINE = Tag.owner_id == OWNER
ids = select(Tag.id).where(TAGS_MINE)
recursive = select(Note.id).where(MINE).cte(recursive=True)
new = {"id": 9, "owner_id": OWNER}

SCOPED: dict[str, Executable] = {
    "model": select(Note).where(MINE),
    "table": select(notes).where(notes.c.owner_id == OWNER),
    "columns": select(Note.id, Note.title).where(MINE),
    "mirrored comparison": select(Note).where(Note.owner_id == OWNER),
    "alias": select(other).where(other.owner_id == OWNER),
    "alias of a table": select(inner).where(inner.c.owner_id == OWNER),
    "one condition of several": select(Note).where(and_(true(), and_(Note.id > 1, MINE))),
    "several where": select(Note).where(Note.id > 1).where(MINE),
    "filter_by": select(Note).filter_by(owner_id=OWNER),
    "owner twice": select(Note).where(MINE, MINE),
    "or beside the owner": select(Note).where(MINE, or_(Note.id == 1, Note.size == 2)),
    "an equal parameter": select(Note).where(Note.owner_id == bindparam("owner_", type_=String)),
    "count": select(func.count()).select_from(Note).where(MINE),
    "group by": select(Note.size, func.count()).where(MINE).group_by(Note.size),
    "window": select(func.row_number().over(order_by=Note.id)).where(MINE),
    "case": select(case((Note.size > 1, "big"), else_="small")).where(MINE),
    "order and limit": select(Note).where(MINE).order_by(Note.id.desc()).limit(2),
    "order by label": select(Note.id.label("x")).where(MINE).order_by("x"),
    "distinct": select(Note.size).where(MINE).distinct(),
    "for update": select(Note).where(MINE).with_for_update(of=Note),
    "table without owners": select(Place),
    "literal without owners": select(literal_column("area + 1"), text("name")).select_from(Place),
    "numbers and stars": select(func.count(literal_column("*")), text("1")).where(MINE),
    "operator that is a symbol": select(Note.size.op("%")(2)).where(MINE, Note.size.op("<>")(1)),
    "join": select(Note, Tag).join(Tag, Tag.id == Note.id).where(MINE, TAGS_MINE),
    "join by the owner": select(Note, Tag).join(Tag, Tag.owner_id == Note.owner_id).where(MINE),
    "join, owner in ON": select(Note, Tag)
    .join(Tag, and_(TAGS_MINE, Tag.id == Note.id))
    .where(MINE),
    "join, both in ON": select(Note.id).join(Tag, and_(TAGS_MINE, Tag.owner_id == Note.owner_id)),
    "join of joins": select(Note.id, Tag.id, other.id)
    .join(Tag, Tag.owner_id == Note.owner_id)
    .join(other, other.owner_id == Tag.owner_id)
    .where(other.owner_id == OWNER),
    "join in a join": select(Place).join(
        join(Note, Tag, and_(MINE, Tag.owner_id == Note.owner_id)), Note.place == Place.name
    ),
    "join with itself": select(Note, other)
    .join(other, and_(other.owner_id == Note.owner_id, other.id == Note.size))
    .where(MINE),
    "join by relationship": select(Note, Place).join(Note.where).where(MINE),
    "outer join": select(Note, Tag)
    .outerjoin(Tag, and_(TAGS_MINE, Tag.id == Note.size))
    .where(MINE),
    "outer join by the owner": select(Note, Tag)
    .outerjoin(Tag, and_(Tag.owner_id == Note.owner_id, Tag.id == Note.size))
    .where(MINE),
    "outer join of a join": select(Place, Note.id, Tag.id).outerjoin(
        join(Note, Tag, Tag.owner_id == Note.owner_id), and_(Note.place == Place.name, MINE)
    ),
    "full join": select(Note, Tag).join(Tag, Tag.id == Note.id, full=True).where(MINE, TAGS_MINE),
    "comma": select(Note.id, Tag.id).where(MINE, TAGS_MINE),
    "comma by the owner": select(Note.id, Tag.id).where(Tag.owner_id == Note.owner_id, MINE),
    "in a subquery": select(Note).where(MINE, Note.id.in_(ids)),
    "not in a subquery": select(Note).where(MINE, Note.size.not_in(ids)),
    "exists": select(Note).where(MINE, exists().where(TAGS_MINE, Tag.id == Note.id)),
    "not exists": select(Note).where(MINE, ~exists().where(TAGS_MINE, Tag.id == Note.id)),
    "exists of itself": select(Note).where(
        MINE, exists().where(other.owner_id == OWNER, other.id > Note.id)
    ),
    "scalar subquery": select(
        Note.id, select(func.max(Tag.id)).where(TAGS_MINE).scalar_subquery()
    ).where(MINE),
    "correlated subquery": select(
        Note.id, select(Tag.notes).where(TAGS_MINE, Tag.id == Note.id).scalar_subquery()
    ).where(MINE),
    "subquery in FROM": select(ids.subquery()),
    "model of a subquery": select(aliased(Note, select(Note).where(MINE).subquery())),
    "cte": select(ids.cte()),
    "recursive cte": select(
        recursive.union_all(
            select(other.id + 1)
            .join(recursive, other.id == recursive.c.id)
            .where(other.owner_id == OWNER)
        )
    ),
    "union": select(Note.id).where(MINE).union(ids),
    "except": select(Note.id).where(MINE).except_(ids.where(Tag.id == 1)),
    "insert": insert(Note).values(new),
    "insert into the table": insert(notes).values(new),
    "insert by column": insert(Note).values({Note.owner_id: OWNER, Note.id: 9}),
    "insert returning": insert(Note).values(new).returning(Note.id, Note.owner_id),
    "insert of rows": insert(Note).values([{**new, "id": 8}, new]),
    "insert of tuples": insert(Tag).values([(OWNER, 8, 1), (OWNER, 9, 2)]),
    "insert of a subquery": insert(Note).values({**new, "size": ids.limit(1).scalar_subquery()}),
    "update": update(Note).where(MINE).values(size=Note.size + 1),
    "update of the table": update(notes).where(notes.c.owner_id == OWNER).values(size=0),
    "update returning": update(Note).where(MINE).values(size=0).returning(Note),
    "update by column": update(Note).where(MINE).values({Note.size: 0}),
    "update in order": update(Note).where(MINE).ordered_values((Note.size, 1), (Note.title, None)),
    "update from": update(Note).where(MINE, TAGS_MINE, Tag.id == Note.id).values(size=Tag.notes),
    "update from by the owner": update(Note)
    .where(MINE, Tag.owner_id == Note.owner_id, Tag.id == Note.id)
    .values(size=Tag.notes),
    "update by a subquery": update(Note)
    .where(MINE)
    .values(size=select(Tag.notes).where(TAGS_MINE, Tag.id == Note.id).scalar_subquery()),
    "delete": delete(Note).where(MINE),
    "delete returning": delete(Note).where(MINE, Note.id == 1).returning(Note),
    "delete by a subquery": delete(Note).where(MINE, Note.id.in_(ids)),
    "text without a table": text("SELECT 1"),
    "function": select(func.lower(Note.title)).where(MINE),
    "text that is a value": select(Note).where(MINE, Note.title == "DROP TABLE notes"),
}
"""Statements that are accepted. SQLite runs them."""


upsert = sqlite.insert(Note).values(new)

UPSERTS: dict[str, Executable] = {
    "upsert": upsert.on_conflict_do_update(
        index_elements=["owner_id", "id"], set_={"size": upsert.excluded.size}
    ),
    "upsert by columns": upsert.on_conflict_do_update(
        index_elements=[Note.owner_id, Note.id], set_={Note.size: 5}
    ),
    "insert or nothing": upsert.on_conflict_do_nothing(),
}

pg_upsert = postgresql.insert(Note).values(new)
sample = notes.tablesample(10)

SCOPED_ON_POSTGRESQL: dict[str, Executable] = {
    "values": select(values(column("x", Integer), name="v").data([(1,)])),
    "lateral": select(Note.id).join(ids.where(Tag.id == Note.id).lateral(), true()).where(MINE),
    "delete using": delete(Note).where(MINE, TAGS_MINE, Tag.id == Note.id),
    "delete in a cte": select(delete(Note).where(MINE).returning(Note.id).cte()),
    "insert in a cte": select(insert(Note).values(new).returning(Note.id).cte()),
    "sample": select(sample).where(sample.c.owner_id == OWNER),
    "upsert": pg_upsert.on_conflict_do_update(
        index_elements=["owner_id", "id"], set_={"size": pg_upsert.excluded.size}
    ),
    "set-returning function": select(func.generate_series(1, 3).table_valued("x")),
    "operator": select(Note).where(MINE, func.to_tsvector(Note.title).op("@@")("x")),
}


class CustomElement(ColumnElement[Any]):
    """An element that compiles to SQL of its own, which can be anything."""

    inherit_cache = True


@compiles(CustomElement)
def _custom_element(*_: Any, **__: Any) -> str:
    return "(SELECT count(*) FROM notes)"


class CustomFunction(FunctionElement[Any]):
    inherit_cache = True


template = TString.__new__(TString)  # what tstring(t"…") makes on Python 3.14
template.parts = [_TStringText("SELECT * FROM notes")]
with_model = TString.__new__(TString)
with_model.parts = [_TStringText("SELECT * FROM "), notes]

UNSCOPED: dict[str, Executable] = {
    "model": select(Note),
    "table": select(notes),
    "column": select(Note.title),
    "alias": select(other),
    "by id": select(Note).where(Note.id == 1),
    "count": select(func.count()).select_from(Note),
    "with having": select(Note.owner_id).group_by(Note.owner_id).having(MINE),
    "with or": select(Note).where(or_(MINE, Note.id == 1)),
    "with or inside and": select(Note).where(and_(Note.id == 1, or_(MINE, true()))),
    "with not": select(Note).where(not_(MINE)),
    "with not of and": select(Note).where(not_(and_(MINE, Note.id == 1))),
    "with unequal": select(Note).where(Note.owner_id != OWNER),
    "with less or equal": select(Note).where(Note.owner_id <= OWNER),
    "with like": select(Note).where(Note.owner_id.like(OWNER)),
    "with between": select(Note).where(Note.owner_id.between(OWNER, OWNER)),
    "with in": select(Note).where(Note.owner_id.in_([OWNER, "bob"])),
    "with is not distinct": select(Note).where(Note.owner_id.is_not_distinct_from(OWNER)),
    "with case": select(Note).where(case((Note.id == 1, MINE), else_=true())),
    "with a condition in a function": select(Note).where(func.coalesce(MINE, True)),
    "with a condition that is compared": select(Note).where(false() == MINE),
    "with a tuple": select(Note).where(tuple_(Note.owner_id, Note.id) == tuple_(OWNER, 1)),
    "with a condition in the columns": select(Note, MINE),
    "with another collation": select(Note).where(collate(Note.owner_id, "NOCASE") == OWNER),
    "with a function of the owner": select(Note).where(func.lower(Note.owner_id) == OWNER),
    "with a cast of the owner": select(Note).where(cast(Note.owner_id, String) == OWNER),
    "with a coerced owner": select(Note).where(type_coerce(Note.owner_id, String) == OWNER),
    "with a label": select(Note.title.label("owner_id")).where(column("owner_id") == OWNER),
    "with a literal column": select(Note).where(literal_column("owner_id") == OWNER),
    "with another column": select(Note).where(Note.title == OWNER),
    "with a string": select(Note).where(Note.owner_id == "ann"),
    "with another parameter": select(Note).where(Note.owner_id == bindparam("user", type_=String)),
    "with a parameter that has a value": select(Note).where(
        Note.owner_id == bindparam("owner_", BOB, type_=String)
    ),
    "with a value for the parameter": select(Note).where(MINE).params(owner_=BOB),
    "with itself": select(Note).where(Note.owner_id == Note.owner_id),
    "with the owner of another row": select(Note.id, Tag.id).where(Note.owner_id == Tag.owner_id),
    "with the wrong alias": select(other).where(MINE),
    "only the other table": select(Note.id, Tag.id).where(TAGS_MINE),
    "join, one side": select(Note, Tag).join(Tag, Tag.id == Note.id).where(MINE),
    "join with itself, one side": select(Note, other).join(other, other.id == Note.id).where(MINE),
    "join by relationship": select(Tag.id, Note.id).join(Tag.note).where(TAGS_MINE),
    "outer join, owner of the left in ON": select(Note.id).outerjoin(Tag, and_(MINE, TAGS_MINE)),
    "outer join, owners in ON": select(Note.id).outerjoin(
        Tag, and_(Tag.owner_id == Note.owner_id, TAGS_MINE)
    ),
    "outer join, one side": select(Note).outerjoin(Tag, Tag.id == Note.id).where(MINE),
    "full join, owners in ON": select(Note.id, Tag.id).join(Tag, and_(MINE, TAGS_MINE), full=True),
    "full join, by the owner": select(Note.id, Tag.id)
    .join(Tag, Tag.owner_id == Note.owner_id, full=True)
    .where(MINE),
    "outer join of a subquery of itself": select(Note.id).outerjoin(
        select(Note.id).where(MINE).subquery(), MINE
    ),
    "ON of or": select(Note.id, Tag.id).join(Tag, or_(TAGS_MINE, Tag.id == 1)).where(MINE),
    "in a subquery": select(Note).where(MINE, Note.id.in_(select(Tag.id))),
    "in a table": select(Note).where(MINE, Note.title.op("IN")(column("notes"))),
    "exists": select(Note).where(MINE, exists().where(Tag.id == Note.id)),
    "exists by the owner alone": select(Note).where(
        MINE, exists().where(Tag.owner_id == Note.owner_id)
    ),
    "exists of itself": select(Note).where(MINE, exists().where(other.id > Note.id)),
    "exists without a table around it": select(exists(select(Note.id))),
    "scalar subquery": select(Place.name, select(func.max(Note.id)).scalar_subquery()),
    "scalar subquery in the order": select(Place).order_by(
        select(func.max(Note.id)).scalar_subquery()
    ),
    "scalar subquery as the limit": select(Place).limit(
        select(func.max(Note.id)).scalar_subquery()
    ),
    "owner outside of the subquery": select(
        select(Note).subquery().c.title, select(Note).subquery().c.owner_id
    ),
    "subquery, owner outside": (lambda q: select(q).where(q.c.owner_id == OWNER))(
        select(Note).limit(1).subquery()
    ),
    "model of a subquery": (lambda q: select(q).where(q.owner_id == OWNER))(
        aliased(Note, select(Note).limit(1).subquery())
    ),
    "cte": select(select(Note).cte()),
    "cte that nothing reads": select(literal(1)).add_cte(select(Note).cte()),
    "recursive cte": select(
        recursive.union_all(select(other.id + 1).join(recursive, other.id == recursive.c.id))
    ),
    "lateral": select(Place.name, lateral(select(Note.id).where(Note.place == Place.name)).c.id),
    "union": select(Note.id).where(MINE).union(select(Tag.id)),
    "nested union": select(union_all(ids, select(Note.id)).subquery()),
    "default of a column": insert(Numbered).values(owner_id=OWNER),
    "text": text("SELECT * FROM notes"),
    "text in another case": text('SELECT * FROM "Notes"'),
    "text in escapes": text('SELECT * FROM U&"\\006eotes"'),
    "text composed by the database": text("DO $$ BEGIN EXECUTE 'DELETE FROM no' || 'tes'; END $$"),
    "text as a select": text("SELECT id FROM notes").columns(Note.id),
    "text as a condition": select(Note).where(MINE, text("1 = 1 OR 1 = 1")),
    "text as a column": select(Place.name, text("(SELECT count(*) FROM notes)")),
    "text as a table": select(text("*")).select_from(text("notes")),
    "text as an order": select(Note).where(MINE).order_by(text("title")),
    "text before": select(Note).where(MINE).prefix_with("ALL"),
    "text after": select(Note).where(MINE).suffix_with("OR 1 = 1"),
    "text as a hint": select(Note).where(MINE).with_statement_hint("OR 1 = 1"),
    "text with the owner": select(Note).where(text("owner_id = :owner_")),
    "literal column": select(Note).where(MINE, literal_column("1 OR 1") == 1),
    "literal column of a subquery": select(literal_column("(SELECT max(id) FROM notes)")),
    "name that is not quoted": select(column(quoted_name("(SELECT id FROM notes)", False))),
    "operator that is a word": select(Note).where(MINE, Note.id.op("OR", precedence=100)(Note.id)),
    "operator with a comment": select(Note).where(MINE, Note.id.op("--")(Note.id)),
    "template": template,
    "template with a model": with_model,
    "template before": select(Place).prefix_with(template),
    "custom element": select(CustomElement()),
    "custom element inside": select(Place).where(Place.area > CustomElement() + 1),
    "custom function": select(CustomFunction()),
    "another table of this name": select(table("notes", column("title"))),
    "another table of this name in upper case": select(table("NOTES", column("title"))),
    "another table with a schema": select(table("notes", column("title"), schema="main")),
    "insert into another table of this name": insert(table("notes", column("title"))).values(
        title="x"
    ),
    "lambda": lambda_stmt(lambda: select(Note)),
    "eager join": select(Tag).where(TAGS_MINE).options(joinedload(Tag.note)),
    "insert": insert(Note).values(id=9),
    "insert without values": insert(Note),
    "insert for another user": insert(Note).values(id=9, owner_id=BOB),
    "insert for a parameter": insert(Note).values(id=9, owner_id=bindparam("user")),
    "insert for an expression": insert(Note).values(id=9, owner_id=func.lower(OWNER)),
    "insert of rows, one of them for another user": insert(Note).values(
        [new, {"id": 8, "owner_id": BOB}]
    ),
    "insert of tuples": insert(Tag).values([(OWNER, 8, 1), (BOB, 9, 2)]),
    "insert from select": insert(Note).from_select(
        ["owner_id", "id"], select(OWNER, ids.subquery())
    ),
    "insert from select of all users": insert(Tag).from_select(
        ["owner_id", "id"], select(Note.owner_id, Note.id)
    ),
    "insert of a subquery": insert(Note).values(
        {**new, "size": select(func.max(Tag.id)).scalar_subquery()}
    ),
    "insert or replace": insert(Note).values(new).prefix_with("OR REPLACE"),
    "insert returning a subquery": insert(Note)
    .values(new)
    .returning(select(func.max(Tag.id)).scalar_subquery()),
    "update": update(Note).values(size=1),
    "update by id": update(Note).where(Note.id == 1).values(size=1),
    "update without values": update(Note).where(MINE),
    "update of the owner": update(Note).where(MINE).values(owner_id=BOB),
    "update of the owner to itself": update(Note).where(MINE).values(owner_id=OWNER),
    "update of the owner by column": update(Note).where(MINE).values({Note.owner_id: BOB}),
    "update of the owner in order": update(Note).where(MINE).ordered_values(("owner_id", BOB)),
    "update from": update(Note).where(MINE, Tag.id == Note.id).values(size=Tag.notes),
    "update from, other side": update(Note)
    .where(TAGS_MINE, Tag.id == Note.id)
    .values(size=Tag.notes),
    "update by a subquery": update(Note)
    .where(MINE)
    .values(size=select(func.max(Tag.id)).scalar_subquery()),
    "update with or": update(Note).where(or_(MINE, true())).values(size=1),
    "delete": delete(Note),
    "delete by id": delete(Note).where(Note.id == 1),
    "delete by a subquery": delete(Note).where(MINE, Note.id.in_(select(Tag.id))),
    "delete returning a subquery": delete(Note)
    .where(MINE)
    .returning(select(func.max(Tag.id)).scalar_subquery()),
    "empty reason": select(Note).execution_options(unscoped=" "),
    "reason that is not a string": select(Note).execution_options(unscoped=True),
    "reason inside": select(select(Note).execution_options(unscoped="x").subquery()),
}
"""Statements that raise UnscopedStatement on both dialects."""

UNSCOPED_UPSERTS = {
    "other index": {"index_elements": ["title"], "set_": {"size": 1}},
    "index of an expression": {"index_elements": [func.lower(Note.owner_id)], "set_": {"size": 1}},
    "sets the owner": {"index_elements": ["owner_id", "id"], "set_": {"owner_id": BOB}},
    "sets the owner by column": {
        "index_elements": ["owner_id", "id"],
        "set_": {Note.owner_id: BOB},
    },
    "reads rows of all users": {
        "index_elements": ["owner_id", "id"],
        "set_": {"size": select(func.max(Tag.id)).scalar_subquery()},
    },
}

UNSCOPED_ON_POSTGRESQL: dict[str, Executable] = {
    "delete using": delete(Note).where(MINE, Tag.id == Note.id),
    "delete using, other side": delete(Note).where(TAGS_MINE, Tag.id == Note.id),
    "delete in a cte": select(delete(Note).returning(Note.id).cte()),
    "update in a cte": select(update(Note).values(size=1).returning(Note.id).cte()),
    "insert in a cte": select(insert(Note).values(id=9).returning(Note.id).cte()),
    "sample": select(sample),
    "named constraint": pg_upsert.on_conflict_do_update(constraint="x", set_={"size": 1}),
}


@pytest.fixture(scope="module")
def ann_alone() -> Iterator[Connection]:
    with database_of(ANN) as connection:
        yield connection


@pytest.fixture(scope="module")
def ann_and_bob() -> Iterator[Connection]:
    with database_of(ANN, BOB) as connection:
        yield connection


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("statement", SCOPED.values(), ids=SCOPED)
def test_scoped_statement_is_accepted(statement: Executable, dialect: Dialect) -> None:
    assert check_owner(statement, dialect, Base.metadata) is None


@pytest.mark.parametrize("statement", (SCOPED | UPSERTS).values(), ids=SCOPED | UPSERTS)
def test_scoped_statement_does_not_depend_on_other_users(
    statement: Executable, ann_alone: Connection, ann_and_bob: Connection
) -> None:
    assert check_owner(statement, sqlite.dialect(), Base.metadata) is None
    bobs = outcome(ann_and_bob, select(literal(1)))[2]

    returned, hers, others = outcome(ann_and_bob, statement)

    assert (returned, hers, []) == outcome(ann_alone, statement)
    assert others == bobs


@pytest.mark.parametrize("statement", SCOPED_ON_POSTGRESQL.values(), ids=SCOPED_ON_POSTGRESQL)
def test_scoped_statement_of_postgresql_is_accepted(statement: Executable) -> None:
    assert check_owner(statement, POSTGRESQL, Base.metadata) is None


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("statement", UNSCOPED.values(), ids=UNSCOPED)
def test_unscoped_statement_raises(statement: Executable, dialect: Dialect) -> None:
    with pytest.raises(UnscopedStatement, match="unscoped="):
        check_owner(statement, dialect, Base.metadata)


@pytest.mark.parametrize("statement", UNSCOPED_ON_POSTGRESQL.values(), ids=UNSCOPED_ON_POSTGRESQL)
def test_unscoped_statement_of_postgresql_raises(statement: Executable) -> None:
    with pytest.raises(UnscopedStatement):
        check_owner(statement, POSTGRESQL, Base.metadata)


@pytest.mark.parametrize("dialect", [sqlite, postgresql], ids=["sqlite", "postgresql"])
@pytest.mark.parametrize("conflict", UNSCOPED_UPSERTS.values(), ids=UNSCOPED_UPSERTS)
def test_upsert_that_can_reach_other_users_raises(conflict: dict[str, Any], dialect: Any) -> None:
    statement = dialect.insert(Note).values(new).on_conflict_do_update(**conflict)

    with pytest.raises(UnscopedStatement):
        check_owner(statement, dialect.dialect(), Base.metadata)


@pytest.mark.parametrize("statement", [select(Note), text("SELECT * FROM notes")], ids=str)
def test_statement_with_a_reason_is_not_checked(statement: Any) -> None:
    marked = statement.execution_options(unscoped="a report for administrators")

    assert check_owner(marked, POSTGRESQL, Base.metadata) == "a report for administrators"


def test_error_names_the_table_and_the_rule() -> None:
    with pytest.raises(UnscopedStatement, match="notes: needs owner_id == OWNER in WHERE"):
        check_owner(select(Note), POSTGRESQL, Base.metadata)


def test_any_statement_is_accepted_without_owned_tables() -> None:
    assert check_owner(text("SELECT * FROM notes"), POSTGRESQL, MetaData()) is None


def test_statement_that_changes_the_schema_raises_compile_error() -> None:
    with pytest.raises(CompileError):
        check_owner(CreateTable(notes), POSTGRESQL, Base.metadata)
