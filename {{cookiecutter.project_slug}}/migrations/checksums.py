"""Records a checksum of each migration that ran on the database, to notice if it is edited later.

The table is written in the transaction of the migration. A database from before this table has no
checksums: its migrations count as unedited when the next one runs.
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

from migrations.errors import PRIVILEGE, MigrationError, shown
from migrations.history import History

CHECKSUMS = Table(
    "alembic_checksums",
    MetaData(),
    Column("revision", String(32), primary_key=True),
    Column("checksum", String(64), nullable=False),
)


def checksum(file: str) -> str:
    """Return a checksum of what a migration does: comments, docstrings, imports and layout
    do not count.
    """
    tree = ast.parse(Path(file).read_bytes())
    return sha256(_canonical(tree).encode()).hexdigest()


def _canonical(node: object) -> str:
    """Return the same text in each version of Python, which `ast.dump` and `ast.unparse` do not."""
    if isinstance(node, list):
        return f"[{','.join(_canonical(each) for each in node if not _is_ignored(each))}]"
    if not isinstance(node, ast.AST):
        return ascii(node)
    if isinstance(node, ast.JoinedStr):  # Python 3.12 adds empty text to some
        node.values = [part for part in node.values if getattr(part, "value", None) != ""]
    fields = [
        f"{name}={_canonical(value)}"
        for name, value in ast.iter_fields(node)
        if value is not None and value != []
    ]
    return f"{type(node).__name__}({','.join(fields)})"


def _is_ignored(statement: object) -> bool:
    """Return whether a statement has no effect on the database: a docstring, for example."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Import | ast.ImportFrom | ast.Pass)


def check_unedited(connection: Connection, history: History, heads: Collection[str]) -> None:
    """Raise MigrationError if a migration was edited, or put before others, after they ran.

    Checks nothing if there is no table of checksums, or if the role may not read it.
    """
    if (recorded := _recorded(connection)) is None:
        return
    applied = history.until(heads)
    while applied and applied[0].revision not in recorded:
        del applied[0]  # it ran before there was this table, or as SQL that was written for it
    for script in applied:
        if script.revision not in recorded:
            raise MigrationError(
                f"{shown(script.path)} has not run on this database, but a migration that follows "
                "it has. Let the others follow each other as before, and set down_revision in "
                f"this one to {' '.join(heads)}."
            )
        if recorded[script.revision] != checksum(script.path):
            previous = script.down_revision if isinstance(script.down_revision, str) else "base"
            raise MigrationError(
                f"{shown(script.path)} was edited after it ran on this database. Restore it, and "
                "put the change into a new migration; or, on a development database, restore it, "
                f"run `alembic downgrade {previous}`, edit it again and migrate. If the database "
                f"has what the file says, run: alembic stamp --purge {' '.join(heads)}"
            )


def record(
    history: History, ctx: MigrationContext, step: MigrationInfo, heads: Collection[str]
) -> None:
    """Record what a step has applied, or forget what it has undone."""
    is_new = False
    if ctx.as_sql:  # it writes SQL for a database that it does not see
        ctx.execute(CreateTable(CHECKSUMS, if_not_exists=True))
    elif not _exists(ctx.connection):
        if not step.is_upgrade:
            return
        ctx.execute(CreateTable(CHECKSUMS))
        is_new = True
    for revision in step.up_revision_ids:
        ctx.execute(CHECKSUMS.delete().where(CHECKSUMS.c.revision == _quoted(revision)))
    if step.is_stamp:
        ctx.execute(CHECKSUMS.delete())
    for script in history.until(heads):
        if is_new or step.is_stamp or script.revision in step.up_revision_ids:
            values = {"revision": script.revision, "checksum": checksum(script.path)}
            ctx.execute(
                CHECKSUMS.insert().inline().values({k: _quoted(v) for k, v in values.items()})
            )


def _quoted(value: str) -> ColumnElement[str]:
    """Return a literal: SQL that Alembic writes to a file has no parameters."""
    return literal_column("'{}'".format(value.replace("'", "''")))


def _exists(connection: Connection | None) -> bool:
    return inspect(connection).has_table(CHECKSUMS.name)


def _recorded(connection: Connection) -> dict[str, str] | None:
    if not _exists(connection):
        return None
    try:
        with connection.begin_nested():  # an error must not end the transaction
            rows = connection.execute(select(CHECKSUMS.c.revision, CHECKSUMS.c.checksum))
            return {row.revision: row.checksum for row in rows}
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != PRIVILEGE:
            raise
        return None
