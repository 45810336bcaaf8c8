"""Checksums of the migrations that ran on the database, to notice later edits.

They are recorded in the transaction of each migration. If the database has no such table yet, the
next migration records the files of all earlier ones as they are.
"""

import ast
from collections.abc import Collection
from hashlib import sha256
from pathlib import Path

from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    MetaData,
    String,
    Table,
    inspect,
    literal_column,
    select,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from migrations.errors import PRIVILEGE, MigrationError, relative
from migrations.history import History

CHECKSUMS = Table(
    "alembic_checksums",
    MetaData(),
    Column("revision", String(32), primary_key=True),
    Column("checksum", String(64), nullable=False),
)


def checksum(file: str) -> str:
    """Return a checksum of a migration that ignores comments, docstrings, imports and layout."""
    tree = ast.parse(Path(file).read_bytes())
    return sha256(_canonical(tree).encode()).hexdigest()


def _canonical(node: object) -> str:
    """Return a text that is the same in every version of Python, unlike that of `ast.dump`."""
    if isinstance(node, list):
        return f"[{','.join(_canonical(each) for each in node if not _is_ignored(each))}]"
    if not isinstance(node, ast.AST):
        return ascii(node)
    if isinstance(node, ast.JoinedStr):  # some versions of Python add empty constants
        node.values = [part for part in node.values if getattr(part, "value", None) != ""]
    fields = [
        f"{name}={_canonical(value)}"
        for name, value in ast.iter_fields(node)
        if value is not None and value != []
    ]
    return f"{type(node).__name__}({','.join(fields)})"


def _is_ignored(statement: object) -> bool:
    """Return whether a statement, such as a docstring, has no effect on the database."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Import | ast.ImportFrom | ast.Pass)


def check_unedited(connection: Connection, history: History, heads: Collection[str]) -> None:
    """Raise MigrationError if a migration was edited after it ran, or inserted before one that ran.

    Return without a check if there is no table of checksums, or if the role may not read it.
    """
    if (recorded := _recorded_checksums(connection)) is None:
        return
    applied = history.up_to(heads)
    while applied and applied[0].revision not in recorded:
        del applied[0]  # it ran before the table existed, or from a script of `--sql`
    for script in applied:
        if script.revision not in recorded:
            raise MigrationError(
                f"{relative(script.path)} has not run on this database, but a migration that "
                "follows it has. Restore down_revision in those that follow it, and set its own "
                f"down_revision to {' '.join(heads)}."
            )
        if recorded[script.revision] != checksum(script.path):
            previous = script.down_revision if isinstance(script.down_revision, str) else "base"
            raise MigrationError(
                f"{relative(script.path)} was edited after it ran on this database. Restore it, "
                "and put the change into a new migration; or, on a development database, restore "
                f"it, run `alembic downgrade {previous}`, edit it again and migrate. If the "
                f"database matches the edited file, run: alembic stamp --purge {' '.join(heads)}"
            )


def record(
    history: History, ctx: MigrationContext, step: MigrationInfo, heads: Collection[str]
) -> None:
    """Record the checksums of the migrations of a step, or remove them after a downgrade."""
    is_new = False
    if ctx.as_sql:  # a script for a database that cannot be inspected
        ctx.execute(CreateTable(CHECKSUMS, if_not_exists=True))
    elif not _table_exists(ctx.connection):
        if not step.is_upgrade:
            return
        ctx.execute(CreateTable(CHECKSUMS))
        is_new = True
    for revision in step.up_revision_ids:
        ctx.execute(CHECKSUMS.delete().where(CHECKSUMS.c.revision == _literal(revision)))
    if step.is_stamp:
        ctx.execute(CHECKSUMS.delete())
    for script in history.up_to(heads):
        if is_new or step.is_stamp or script.revision in step.up_revision_ids:
            values = {"revision": script.revision, "checksum": checksum(script.path)}
            ctx.execute(
                CHECKSUMS.insert().inline().values({k: _literal(v) for k, v in values.items()})
            )


def _literal(value: str) -> ColumnElement[str]:
    """Return an SQL literal, because scripts of `--sql` cannot have parameters."""
    return literal_column("'{}'".format(value.replace("'", "''")))


def _table_exists(connection: Connection | None) -> bool:
    return inspect(connection).has_table(CHECKSUMS.name)


def _recorded_checksums(connection: Connection) -> dict[str, str] | None:
    if not _table_exists(connection):
        return None
    try:
        with connection.begin_nested():  # an error must not abort the transaction
            rows = connection.execute(select(CHECKSUMS.c.revision, CHECKSUMS.c.checksum))
            return {row.revision: row.checksum for row in rows}
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != PRIVILEGE:
            raise
        return None
