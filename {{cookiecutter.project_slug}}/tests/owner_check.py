"""Finds statements that could reach rows of users other than `OWNER`.

Only SQLAlchemy's compiler knows which tables a statement reads: it resolves joins, correlated
subqueries, ORM entities and column defaults. So the check subclasses the compiler, and its SQL is
discarded. It needs a few private attributes (the compiler's stack, the values of an INSERT or
UPDATE), which are used in this file only.

Not checked: tables that views, triggers and database functions read.
"""

import re
from typing import Any

from sqlalchemy import BindParameter, Dialect, Executable, MetaData
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import BinaryExpression, BooleanClauseList, ColumnClause, Grouping
from sqlalchemy.sql.selectable import FromGrouping, Join, TableClause

from app.models.base import OWNER

# Literal SQL that cannot change a condition: `*`, a number, or an operator that binds tighter than
# AND.
HARMLESS = re.compile(r"\d+|(?!.*(--|/\*))[-+*/<>=~!@#%^&|?]+")
# Literal SQL whose tables cannot be determined: escaped identifiers, and SQL composed at run time.
OPAQUE = r"U&|\bEXECUTE\b"


class UnscopedStatement(Exception):
    """The statement could reach rows of users other than its owner: a programming error."""

    def __init__(self, subject: object, rule: str) -> None:
        super().__init__(
            f"{subject}: {rule}. If a statement has to reach rows of several users, give the "
            'reason: .execution_options(unscoped="…").'
        )


def check_owner(statement: Executable, dialect: Dialect, metadata: MetaData) -> str | None:
    """Raise UnscopedStatement unless every part of `statement` is limited to the rows of OWNER.

    A statement with `.execution_options(unscoped="the reason")` is not checked; its reason is
    returned.
    """
    reason = statement.get_execution_options().get("unscoped")
    if isinstance(reason, str) and reason.strip():
        return reason
    for element in visitors.iterate(statement):  # type: ignore[arg-type]
        for part in type(element).__mro__:
            if part.__module__.partition(".")[0] not in ("sqlalchemy", "builtins", "typing"):
                raise UnscopedStatement(part.__name__, "only SQLAlchemy's own elements are allowed")
    owned = {table.name.lower() for table in metadata.tables.values() if _has_owner(table)}
    compiler = type("OwnerCheck", (_OwnerCheck, dialect.statement_compiler), {})
    check: Any = compiler(dialect, statement, owned)
    if check.params.get(OWNER.key) is not None:
        raise UnscopedStatement(OWNER, "only Database.run sets this parameter")
    refused = "|".join([OPAQUE, *(rf"\b{re.escape(name)}\b" for name in owned)])
    for text in check.literals:
        # Next to an owned table, even `OR true` is unsafe: it would undo each condition.
        if check.touches_owned or re.search(refused, text, re.IGNORECASE):
            raise UnscopedStatement(repr(text), "literal SQL must not touch a table with owner_id")
    return None


Compiler: Any = SQLCompiler  # it has no type hints


class _OwnerCheck(Compiler):  # type: ignore[misc]
    def __init__(self, dialect: Dialect, statement: Any, owned: set[str]) -> None:
        self.owned = owned
        self.literals: list[str] = []
        self.touches_owned = False
        super().__init__(dialect, statement)

    # Tables that are read: by SELECT, UPDATE, DELETE and their subqueries

    def visit_table(self, table: Any, **kw: Any) -> Any:
        alias = kw.get("enclosing_alias")
        source = table if alias is None or alias.element is not table else alias
        if self._is_owned(table) and kw.get("asfrom") and source not in self._scoped():
            rule = "needs owner_id == OWNER in WHERE, or in ON of an inner join"
            raise UnscopedStatement(table, rule)
        return super().visit_table(table, **kw)

    def _is_owned(self, table: Any) -> bool:
        is_owned = _has_owner(table) or table.name.lower() in self.owned
        self.touches_owned |= is_owned
        return is_owned

    def _scoped(self) -> set[Any]:
        """Return the tables of the current statement or subquery whose rows are all OWNER's."""
        same = _same_owner(getattr(self.current_executable, "whereclause", None))
        for join in self.stack[-1]["asfrom_froms"]:
            if isinstance(join, Join) and not join.full:
                limited = _tables(join.right) | (set() if join.isouter else _tables(join.left))
                same += [pair for pair in _same_owner(join.onclause) if pair[0] in limited]
        scoped: set[Any] = {OWNER}
        while more := {one for one, other in same if other in scoped} - scoped:
            scoped |= more
        return scoped

    # Rows that are written

    def visit_insert(self, insert_stmt: Any, **kw: Any) -> Any:
        rows = self._rows(insert_stmt, kw)
        owners = [row.get("owner_id") for row in rows]
        if self._is_owned(insert_stmt.table) and not all(map(_is_owner, owners)):
            rule = "INSERT needs .values(owner_id=OWNER, …), and cannot be .from_select()"
            raise UnscopedStatement(insert_stmt.table, rule)
        return super().visit_insert(insert_stmt, **kw)

    def visit_update(self, update_stmt: Any, **kw: Any) -> Any:
        [row] = self._rows(update_stmt, kw)
        if self._is_owned(update_stmt.table) and (not row or "owner_id" in row):
            raise UnscopedStatement(update_stmt.table, "UPDATE must not set owner_id")
        return super().visit_update(update_stmt, **kw)

    def _rows(self, statement: Any, kw: dict[str, Any]) -> list[dict[str, Any]]:
        state = statement._compile_state_factory(statement, self, **kw)
        rows = state._multi_parameters or [state._dict_parameters or {}]
        # str(), because a key of a subclass could compare equal to another name.
        return [{str(getattr(key, "key", key)): row[key] for key in row} for row in rows]

    def visit_on_conflict_do_update(self, on_conflict: Any, **kw: Any) -> Any:
        changes = [getattr(key, "key", key) for key in dict(on_conflict.update_values_to_set)]
        target = [
            getattr(part, "name", part)
            for part in on_conflict.inferred_target_elements or ()
            if isinstance(part, str | ColumnClause)
        ]
        table: Any = self.current_executable.table
        if self._is_owned(table) and ("owner_id" in changes or "owner_id" not in target):
            rule = "ON CONFLICT DO UPDATE needs owner_id in index_elements, and must not set it"
            raise UnscopedStatement(table, rule)
        return super().visit_on_conflict_do_update(on_conflict, **kw)

    # Literal SQL: text(), literal_column(), op(), prefixes, suffixes and hints

    def post_process_text(self, text: str) -> Any:
        return super().post_process_text(self._note(text))

    def escape_literal_column(self, text: str) -> Any:
        return super().escape_literal_column(self._note(text))

    def get_statement_hint_text(self, hint_texts: list[str]) -> Any:
        return super().get_statement_hint_text(map(self._note, hint_texts))

    def visit_column(self, column: Any, **kw: Any) -> Any:
        # In SQLite's `x IN tasks` a table looks like a column.
        is_bare = column.table is None and str(column.name).lower() in self.owned
        if is_bare or getattr(column.name, "quote", None) is False:
            self._note(column.name)
        return super().visit_column(column, **kw)

    def _note(self, text: str) -> Any:
        if not HARMLESS.fullmatch(text):
            self.literals.append(text)
        return text


def _has_owner(table: Any) -> bool:
    return any(column.name == "owner_id" for column in table.columns)


def _is_owner(value: Any) -> bool:
    return isinstance(value, BindParameter) and value.compare(OWNER)


def _owner_of(side: Any) -> Any:
    """Return the table or alias whose owner_id `side` is, or OWNER itself, or None."""
    if isinstance(side, ColumnClause) and side.name == "owner_id":
        table: Any = side.table
        return table if isinstance(getattr(table, "element", table), TableClause) else None
    return OWNER if _is_owner(side) else None


def _same_owner(condition: Any) -> list[tuple[Any, Any]]:
    """Return the pairs of tables, aliases and OWNER that `condition` limits to the same owner."""
    if isinstance(condition, Grouping):
        return _same_owner(condition.element)
    if isinstance(condition, BooleanClauseList) and condition.operator is operators.and_:
        return [pair for part in condition.clauses for pair in _same_owner(part)]
    if isinstance(condition, BinaryExpression) and condition.operator is operators.eq:
        one, other = _owner_of(condition.left), _owner_of(condition.right)
        if one is not None and other is not None:
            return [(one, other), (other, one)]
    return []


def _tables(source: Any) -> set[Any]:
    """Return the tables and aliases in `source`, which is a join or one of them."""
    if isinstance(source, Join):
        return _tables(source.left) | _tables(source.right)
    return _tables(source.element) if isinstance(source, FromGrouping) else {source}
