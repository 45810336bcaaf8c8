"""What `make migration` compares, writes and refuses: see docs/migrations.md."""

import re
from collections.abc import Iterator
from datetime import date
from textwrap import wrap
from typing import Any, Literal

from alembic import context
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import (
    AddColumnOp,
    AlterColumnOp,
    DropColumnOp,
    DropTableOp,
    ExecuteSQLOp,
    MigrateOperation,
    MigrationScript,
    ModifyTableOps,
)
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import (
    ARRAY,
    ClauseElement,
    Column,
    ColumnClause,
    ColumnDefault,
    DefaultClause,
    String,
    TypeDecorator,
    column,
    literal,
    literal_column,
    table,
    text,
)
from sqlalchemy.exc import CompileError

from app.engine import DIALECT
from app.models import Base
from migrations.own_objects import OwnObjects
from migrations.table_changes import BATCH, BYTES, adapted


def comparison() -> dict[str, Any]:
    """Return options for `context.configure`."""
    own = OwnObjects(context.script)
    return {
        "autogenerate_plugins": ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
        "include_name": own.include_name,
        "include_object": own.include_object,
        "process_revision_directives": complete,
        "render_as_batch": BATCH,
        "render_item": render_item,
    }


def render_item(kind: str, item: Any, _: AutogenContext) -> str | Literal[False]:
    """Render our types as plain types, because ours may change, and defaults as they are."""
    if kind == "type" and isinstance(item, TypeDecorator):
        is_ours = not type(item).__module__.startswith("sqlalchemy.")
        return f"sa.{item.impl!r}" if is_ours else False
    if kind == "server_default" and isinstance(item, DefaultClause):
        given = item.arg
        return repr(given) if isinstance(given, str) else f"sa.text({escaped(as_sql(given))!r})"
    return False


class Note(MigrateOperation):
    """A comment in the migration, which is printed as well."""

    ops = ()  # for `alembic check`: it lists no differences

    def __init__(self, text: str) -> None:
        self.text = text


@renderers.dispatch_for(Note)
def render_note(_: AutogenContext, note: Note) -> list[str]:
    return [f"# {line}" for line in wrap(note.text, 90)]


class Fill(ExecuteSQLOp):
    """Give a value to the rows that have none."""

    ops = ()


renderers.dispatch_for(Fill)(renderers.dispatch(ExecuteSQLOp("")))


def complete(_: MigrationContext, __: Any, scripts: list[MigrationScript]) -> None:
    """Let the migration apply to tables with rows, and say what it would lose.

    Raises CommandError if existing rows have no possible value for a new column.
    """
    for script in [*scripts]:
        upgrade, downgrade = script.upgrade_ops_list[0], script.downgrade_ops_list[0]
        without_value: list[AddColumnOp] = []
        upgrade.ops = [op for each in upgrade.ops for op in completed(each, without_value)]
        if without_value:
            raise refusal(without_value)
        downgrade.ops = [op for each in downgrade.ops for op in completed(each, without_value)]
        downgrade.ops = [op for op in downgrade.ops if not isinstance(op, Note)]
        for add in without_value:
            add.column.nullable = True  # the upgrade dropped the values
        if script.message is not None:  # not for `alembic check`, which writes nothing
            for op in upgrade.ops:
                if isinstance(op, Note):
                    context.config.print_stdout(op.text)
            if not upgrade.ops:
                context.config.print_stdout("No migration: the models have not changed.")
                scripts.remove(script)


def refusal(without_value: list[AddColumnOp]) -> CommandError:
    columns = " and ".join(f"{add.table_name}.{add.column.name}" for add in without_value)
    return CommandError(
        f"no migration was written, because existing rows would have no value for {columns}. Write "
        "`default=` or `server_default=` in the model, or make the column optional. To rename a "
        "column instead, see docs/migrations.md"
    )


def completed(
    operation: MigrateOperation, without_value: list[AddColumnOp]
) -> Iterator[MigrateOperation]:
    """Yield an operation after notes on what it loses, and after what it needs."""
    if isinstance(operation, DropTableOp):
        yield Note(
            f"Drops the table {operation.table_name} with all its rows. If it has a new name: "
            f'op.rename_table("{operation.table_name}", "new_name").'
        )
    if not isinstance(operation, ModifyTableOps):
        yield operation
        return
    for change in operation.ops:
        if isinstance(change, AddColumnOp):
            add_default(change, without_value)
        elif isinstance(change, DropColumnOp):
            yield Note(
                f"Drops {change.table_name}.{change.column_name} with its values. If it has a new "
                f'name: op.alter_column("{change.table_name}", "{change.column_name}", '
                'new_column_name="new_name").'
            )
        elif isinstance(change, AlterColumnOp):
            yield from before_altering(change)
    yield from adapted(operation)


def add_default(change: AddColumnOp, without_value: list[AddColumnOp]) -> None:
    """Write the default of a required column into the database.

    It stays there, because during a deployment the previous version still inserts rows.
    """
    if change.column.nullable or change.column.server_default is not None:
        return
    default = default_of(change.column)
    change.column = change.column._copy()  # the model has to stay as it is
    if default is None:
        without_value.append(change)
    else:
        change.column.server_default = DefaultClause(text(escaped(default)))


def before_altering(change: AlterColumnOp) -> Iterator[MigrateOperation]:
    name, new = f"{change.table_name}.{change.column_name}", change.modify_type
    if new is not None and not is_longer_text(change.existing_type, new):
        old = change.existing_type
        yield Note(
            f"Changes {name} from {old} to {new.compile(DIALECT)}. "
            "The migration stops, and changes nothing, if a value does not fit."
        )
    if change.modify_nullable is False:
        default = default_of(Base.metadata.tables[change.table_name].columns[change.column_name])
        update = fill(change.table_name, change.column_name, default or "…")
        if default is not None:
            yield Fill(escaped(update))
        else:
            yield Note(
                f"{name} becomes required. The migration stops, and changes nothing, if a "
                f'row has no value. In that case: op.execute("{update}").'
            )


def fill(table_name: str, column_name: str, value: str) -> str:
    required: ColumnClause[Any] = column(column_name)
    rows = table(table_name, required).update().where(required.is_(None))
    return as_sql(rows.values({required: literal_column(value)}))


def is_longer_text(old: Any, new: Any) -> bool:
    return (
        isinstance(old, String)
        and isinstance(new, String)
        and (new.length is None or (old.length is not None and new.length >= old.length))
    )


def escaped(sql: str) -> str:
    """Escape colons if `sqlalchemy.text` would take one of them for a parameter."""
    return sql.replace(":", r"\:") if re.search(r"(?<![:\w]):\w|\\:", sql) else sql


def as_sql(expression: ClauseElement) -> str:
    options = {"literal_binds": True, "include_table": False}
    return str(expression.compile(dialect=DIALECT, compile_kwargs=options))


def default_of(column: Column[Any]) -> str | None:
    """Return the default of a column as SQL, or None if there is none that fits all rows."""
    if isinstance(column.server_default, DefaultClause):
        given = column.server_default.arg
        return as_sql(literal(given, String) if isinstance(given, str) else given)
    default = column.default
    if not isinstance(default, ColumnDefault):
        return None
    if isinstance(default.arg, ClauseElement):
        return as_sql(default.arg)
    value = default.arg
    if default.is_callable:
        try:
            value, other = default.arg(None), default.arg(None)
        except Exception:  # it needs a row
            return None
        if value != other and not isinstance(value, date):  # or datetime, which is a date
            return None
    if isinstance(value, bytes):  # SQLAlchemy's literals of them are text
        return BYTES.format(value.hex())
    if value == [] and isinstance(column.type.dialect_impl(DIALECT), ARRAY):
        return "'{}'"  # ARRAY[] would have no type
    try:
        return None if value is None else as_sql(literal(value, column.type))
    except CompileError:  # SQLAlchemy has no literals of some types, such as JSON
        convert = column.type.dialect_impl(DIALECT).bind_processor(DIALECT)
        converted = convert(value) if convert else value
        return as_sql(literal(converted, String)) if isinstance(converted, str) else None
