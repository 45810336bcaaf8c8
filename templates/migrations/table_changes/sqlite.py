"""Changes of tables on SQLite: Alembic copies the table, in the migration's transaction."""

import re
from collections.abc import Iterator
from typing import Any
from warnings import filterwarnings

from alembic.ddl.sqlite import SQLiteImpl
from alembic.operations.batch import ApplyBatchImpl, BatchOperationsImpl
from alembic.operations.ops import (
    AlterColumnOp,
    CreateIndexOp,
    DropIndexOp,
    MigrateOperation,
    ModifyTableOps,
)
from alembic.util import CommandError
from alembic.util.sqla_compat import is_expression_index
from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Date,
    DateTime,
    Index,
    String,
    Table,
    Time,
    and_,
    case,
    exists,
    func,
    not_,
    or_,
    select,
    text,
)
from sqlalchemy.types import TypeEngine

BATCH = True
BYTES = "X'{}'"
LITERAL = r"X?'([^']|'')*'|-?[0-9.]+"
# SQLAlchemy does not read these from the database, so a copy would lose them.
NOT_COPIED = ("AUTOINCREMENT", "COLLATE", "ON CONFLICT")
# SQLite stores dates and times as text. CAST would turn a date into the number 2026.
FROM_TEXT: dict[Any, Any] = {
    Date: func.date,
    DateTime: lambda value: case(
        (func.length(value) == len("2026-01-02 03:04:05.678901"), func.replace(value, "T", " ")),
        else_=func.strftime("%Y-%m-%d %H:%M:%f000", value),
    ),
    Time: lambda value: func.strftime("%H:%M:%f000", value),
}


def prepare(connection: Connection) -> None:
    """Switch foreign keys off, so that replacing a table by its copy does not fire ON DELETE.

    Call this before the transaction: within one, SQLite ignores the PRAGMA. Call
    `check_references` at the end.
    """
    # The warning does not matter: copies keep indexes on expressions, and autogenerate skips them.
    filterwarnings("ignore", "Skipped unsupported reflection of expression-based index")
    dbapi_connection: Any = connection.connection.dbapi_connection
    dbapi_connection.execute("PRAGMA foreign_keys = OFF")


def update_statistics(connection: Connection) -> None:
    """Update the statistics by which SQLite chooses indexes, from about 400 rows of each index.

    Without statistics, filtered lists would always scan the primary key.
    """
    connection.exec_driver_sql("PRAGMA analysis_limit = 400")
    connection.exec_driver_sql("ANALYZE")


def check_references(connection: Connection) -> None:
    """Raise CommandError if a row refers to a row that does not exist."""
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken:
        raise CommandError(
            f"rows of {broken[0]} would refer to rows of {broken[2]} that do not exist. "
            "ON DELETE has no effect in migrations: delete these rows, too"
        )


def adapt(table: ModifyTableOps) -> Iterator[MigrateOperation]:
    """Yield the changes of a table, those of its indexes separately.

    If Alembic created an index in a copy, it would lose the index's order and expressions.
    """
    kinds = (DropIndexOp, CreateIndexOp)
    dropped, created = ([op for op in table.ops if isinstance(op, kind)] for kind in kinds)
    table.ops = [op for op in table.ops if not isinstance(op, kinds)]
    for op in table.ops:
        if (
            isinstance(op, AlterColumnOp)
            and (old := op.existing_type) is not None
            and (new := op.modify_type) is not None
            and new._type_affinity is not old._type_affinity
            and op.existing_server_default is not None
        ):
            op.modify_server_default = None  # it is a value of the old type
    yield from dropped
    if table.ops:
        yield table
    yield from created


class TableCopies(SQLiteImpl):
    """Alembic's operations for SQLite, extended: copies keep all indexes, triggers and values."""

    __dialect__ = "sqlite"  # Alembic uses the class that was defined last

    def requires_recreate_in_batch(self, batch_op: BatchOperationsImpl) -> bool:
        """Return whether the table has to be copied: not to add columns with literal defaults."""
        return super().requires_recreate_in_batch(batch_op) and not all(
            name == "add_column" and _has_literal_default(arguments[1])
            for name, arguments, _ in batch_op.batch
        )

    def autogen_column_reflect(
        self, inspector: Any, table: Table, column_info: dict[str, Any]
    ) -> None:
        """Escape colons in default values, which SQLAlchemy would read as parameters."""
        super().autogen_column_reflect(inspector, table, column_info)
        if isinstance(default := column_info.get("default"), str):
            column_info["default"] = text(default.replace(":", r"\:"))

    def _skip_functional_indexes(
        self, metadata_indexes: set[Index], conn_indexes: set[Index]
    ) -> None:
        """Leave out existing indexes on expressions: SQLAlchemy cannot read all of them."""
        assert self.connection is not None  # noqa: S101 - it is only None with `--sql`
        query = text("SELECT name FROM sqlite_master WHERE type = 'index'")
        existing = set(self.connection.scalars(query))
        skipped = {i.name for i in metadata_indexes if is_expression_index(i)} & existing
        for indexes in (metadata_indexes, conn_indexes):
            for index in [index for index in indexes if index.name in skipped]:
                indexes.discard(index)

    def cast_for_batch_migrate(
        self, existing: Column[Any], existing_transfer: dict[str, Any], new_type: TypeEngine[Any]
    ) -> None:
        """Convert the values of a column. Raises CommandError if one does not fit the new type."""
        value: Column[Any] = existing_transfer["expr"]
        affinity = new_type._type_affinity
        if affinity in FROM_TEXT and affinity is not existing.type._type_affinity:
            existing_transfer["expr"] = converted = FROM_TEXT[affinity](value)
            is_time = and_(func.typeof(value) == "text", func.julianday(value).is_not(None))
            misfits = [and_(value.is_not(None), not_(is_time))]
        else:
            super().cast_for_batch_migrate(existing, existing_transfer, new_type)
            converted = existing_transfer["expr"]
            misfits = [converted.is_distinct_from(value)] if converted is not value else []
        if isinstance(new_type, String) and new_type.length:
            misfits.append(func.length(converted) > new_type.length)
        assert self.connection is not None  # noqa: S101 - it is only None with `--sql`
        if misfits and self.connection.scalar(select(exists().where(or_(*misfits)))):
            raise CommandError(
                f"a value of {value.table.name}.{value.name} does not fit "
                f"{new_type.compile(self.dialect)}"
            )

    def prep_table_for_batch(self, batch_impl: ApplyBatchImpl, table: Table) -> None:
        """Remember the indexes and triggers, to create them again after the copy."""
        if any(isinstance(c, CheckConstraint) and not c.name for c in table.constraints):
            raise CommandError(f"{table.name} has a CHECK without a name, which a copy would lose")
        if any(key != column.name for key, column in batch_impl.columns.items()):
            raise CommandError(
                f"rename columns of {table.name} with op.alter_column, not in batch_alter_table"
            )
        assert batch_impl.new_table is not None  # noqa: S101 - for mypy
        gone = table.columns.keys() - batch_impl.columns.keys()
        for constraint in set(batch_impl.new_table.constraints):
            words = re.findall(r"\w+", str(getattr(constraint, "sqltext", "")))
            if gone.intersection(words):  # as PostgreSQL does
                batch_impl.new_table.constraints.discard(constraint)
        dropped = {index.name for index in table.indexes} - batch_impl.indexes.keys()
        batch_impl.indexes.clear()  # created from their SQL, of which SQLAlchemy reads only a part
        self._replaced = self._statements(table.name)
        for name in dropped:
            del self._replaced[str(name)]

    def rename_table(
        self, old_table_name: str, new_table_name: str, schema: str | None = None
    ) -> None:
        """Rename a table, or put a copy in its place, with the same indexes and triggers."""
        if not old_table_name.startswith("_alembic_tmp_"):
            super().rename_table(old_table_name, new_table_name, schema)
            return
        # Without the legacy mode, SQLite rejects the rename if a view or trigger uses the table.
        self._exec(text("PRAGMA legacy_alter_table = ON"))
        super().rename_table(old_table_name, new_table_name, schema)
        self._exec(text("PRAGMA legacy_alter_table = OFF"))
        before, after = self._replaced.pop(new_table_name), self._statements(new_table_name)
        for words in NOT_COPIED:
            if words in before.upper() and words not in after[new_table_name].upper():
                raise CommandError(f"a copy of {new_table_name} would lose its {words}")
        assert self.connection is not None  # noqa: S101 - it is only None with `--sql`
        for statement in self._replaced.values():
            self.connection.exec_driver_sql(statement)

    def _statements(self, table: str) -> dict[str, str]:
        """Return the SQL of the table, its indexes and its triggers, by name."""
        assert self.connection is not None  # noqa: S101 - it is only None with `--sql`
        query = text("SELECT name, sql FROM sqlite_master WHERE tbl_name = :table AND sql > ''")
        rows = self.connection.execute(query, {"table": table})
        return {row.name: row.sql for row in rows}


def _has_literal_default(column: Column[Any]) -> bool:
    arg = getattr(column.server_default, "arg", "")
    return re.fullmatch(LITERAL, str(arg), re.DOTALL) is not None
