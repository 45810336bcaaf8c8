"""What `alembic revision --autogenerate` compares, writes and rejects. See docs/migrations.md."""

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
from migrations.table_changes import BATCH, BYTES, adapt


def comparison() -> dict[str, Any]:
    """Return options for `context.configure`."""
    own = OwnObjects(context.script)
    return {
        "autogenerate_plugins": ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
        "include_name": own.include_name,
        "include_object": own.include_object,
        "process_revision_directives": process_revision_directives,
        "render_as_batch": BATCH,
        "render_item": render_item,
    }


def render_item(kind: str, item: Any, _: AutogenContext) -> str | Literal[False]:
    """Render our types as SQLAlchemy's, because ours may change, and server defaults verbatim."""
    if kind == "type" and isinstance(item, TypeDecorator):
        is_ours = not type(item).__module__.startswith("sqlalchemy.")
        return f"sa.{item.impl!r}" if is_ours else False
    if kind == "server_default" and isinstance(item, DefaultClause):
        given = item.arg
        if isinstance(given, str):
            return repr(given)
        return f"sa.text({escape_colons(render_sql(given))!r})"
    return False


class Note(MigrateOperation):
    """A warning that is printed, and written into the migration as a comment."""

    ops = ()  # so that `alembic check` does not count it as a difference

    def __init__(self, text: str) -> None:
        self.text = text


@renderers.dispatch_for(Note)
def render_note(_: AutogenContext, note: Note) -> list[str]:
    return [f"# {line}" for line in wrap(note.text, 90)]


class FillColumn(ExecuteSQLOp):
    """An UPDATE of the rows that have no value."""

    ops = ()


renderers.dispatch_for(FillColumn)(renderers.dispatch(ExecuteSQLOp("")))


def process_revision_directives(
    _: MigrationContext, __: Any, scripts: list[MigrationScript]
) -> None:
    """Make migrations work on tables with rows, and warn of data loss.

    Raises CommandError if existing rows have no value for a new required column.
    """
    for script in [*scripts]:
        upgrade, downgrade = script.upgrade_ops_list[0], script.downgrade_ops_list[0]
        without_value: list[AddColumnOp] = []
        upgrade.ops = [op for each in upgrade.ops for op in prepared(each, without_value)]
        if without_value:
            raise missing_value_error(without_value)
        downgrade.ops = [op for each in downgrade.ops for op in prepared(each, without_value)]
        downgrade.ops = [op for op in downgrade.ops if not isinstance(op, Note)]
        for add in without_value:
            add.column.nullable = True  # because the upgrade has dropped the values
        if script.message is not None:  # not for `alembic check`, which writes nothing
            for op in upgrade.ops:
                if isinstance(op, Note):
                    context.config.print_stdout(op.text)
            if not upgrade.ops:
                context.config.print_stdout("No migration: the models have not changed.")
                scripts.remove(script)


def missing_value_error(without_value: list[AddColumnOp]) -> CommandError:
    columns = " and ".join(f"{add.table_name}.{add.column.name}" for add in without_value)
    return CommandError(
        f"no migration was written, because existing rows would have no value for {columns}. Write "
        "`default=` or `server_default=` in the model, or make the column optional. To rename a "
        "column, see docs/migrations.md"
    )


def prepared(
    operation: MigrateOperation, without_value: list[AddColumnOp]
) -> Iterator[MigrateOperation]:
    """Yield an operation, after warnings of data loss and after the operations that it needs."""
    if isinstance(operation, DropTableOp):
        yield Note(
            f"Drops the table {operation.table_name} with all its rows. To rename it instead: "
            f'op.rename_table("{operation.table_name}", "new_name").'
        )
    if not isinstance(operation, ModifyTableOps):
        yield operation
        return
    for change in operation.ops:
        if isinstance(change, AddColumnOp):
            set_server_default(change, without_value)
        elif isinstance(change, DropColumnOp):
            yield Note(
                f"Drops {change.table_name}.{change.column_name} with its values. To rename it "
                f'instead: op.alter_column("{change.table_name}", "{change.column_name}", '
                'new_column_name="new_name").'
            )
        elif isinstance(change, AlterColumnOp):
            yield from before_altering(change)
    yield from adapt(operation)


def set_server_default(change: AddColumnOp, without_value: list[AddColumnOp]) -> None:
    """Give a required column its default as a server default, or add it to `without_value`.

    The server default stays, because the previous version inserts rows during a deployment.
    """
    if change.column.nullable or change.column.server_default is not None:
        return
    default = default_sql(change.column)
    change.column = change.column._copy()  # so that the model does not change
    if default is None:
        without_value.append(change)
    else:
        change.column.server_default = DefaultClause(text(escape_colons(default)))


def before_altering(change: AlterColumnOp) -> Iterator[MigrateOperation]:
    name, new = f"{change.table_name}.{change.column_name}", change.modify_type
    if new is not None and not is_longer_text(change.existing_type, new):
        old = change.existing_type
        yield Note(
            f"Changes {name} from {old} to {new.compile(DIALECT)}. "
            "The migration stops, and changes nothing, if a value does not fit."
        )
    if change.modify_nullable is False:
        default = default_sql(Base.metadata.tables[change.table_name].columns[change.column_name])
        update = fill_statement(change.table_name, change.column_name, default or "…")
        if default is not None:
            yield FillColumn(escape_colons(update))
        else:
            yield Note(
                f"{name} becomes required. The migration stops, and changes nothing, if a "
                f'row has no value. To give it one first: op.execute("{update}").'
            )


def fill_statement(table_name: str, column_name: str, value: str) -> str:
    required: ColumnClause[Any] = column(column_name)
    rows = table(table_name, required).update().where(required.is_(None))
    return render_sql(rows.values({required: literal_column(value)}))


def is_longer_text(old: Any, new: Any) -> bool:
    return (
        isinstance(old, String)
        and isinstance(new, String)
        and (new.length is None or (old.length is not None and new.length >= old.length))
    )


def escape_colons(sql: str) -> str:
    """Escape all colons if `sqlalchemy.text` would read one as a parameter."""
    return sql.replace(":", r"\:") if re.search(r"(?<![:\w]):\w|\\:", sql) else sql


def render_sql(expression: ClauseElement) -> str:
    options = {"literal_binds": True, "include_table": False}
    return str(expression.compile(dialect=DIALECT, compile_kwargs=options))


def default_sql(column: Column[Any]) -> str | None:
    """Return the default of a column as SQL, or None if existing rows have none."""
    if isinstance(column.server_default, DefaultClause):
        given = column.server_default.arg
        return render_sql(literal(given, String) if isinstance(given, str) else given)
    default = column.default
    if not isinstance(default, ColumnDefault):
        return None
    if isinstance(default.arg, ClauseElement):
        return render_sql(default.arg)
    value = default.arg
    if default.is_callable:
        try:
            value, other = default.arg(None), default.arg(None)
        except Exception:  # it reads other values of the row
            return None
        if value != other and not isinstance(value, date):  # or datetime, which is a date
            return None
    if isinstance(value, bytes):  # SQLAlchemy's literals of them are text
        return BYTES.format(value.hex())
    if value == [] and isinstance(column.type.dialect_impl(DIALECT), ARRAY):
        return "'{}'"  # ARRAY[] would have no type
    try:
        return None if value is None else render_sql(literal(value, column.type))
    except CompileError:  # SQLAlchemy has no literals of some types, such as JSON
        convert = column.type.dialect_impl(DIALECT).bind_processor(DIALECT)
        converted = convert(value) if convert else value
        return render_sql(literal(converted, String)) if isinstance(converted, str) else None
