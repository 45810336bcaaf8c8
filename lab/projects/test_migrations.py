"""Generated migrations work on tables with rows, and ignore tables of other applications."""

import re
import shlex
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lab.servers import Server, free_ports
from tests.rendering import Machine, RenderedProject

ALEMBIC = ".venv/bin/alembic"
# Without SQLAlchemy, which takes most of a second to import.
SQL_PY = """
import asyncio
import sys

import asyncpg


async def main(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in statements:
        print(*(tuple(row) for row in await connection.fetch(statement)), sep="\\n")
    await connection.close()


asyncio.run(main(*sys.argv[1:]))
"""
VALUES_PY = '''
"""Print the columns of an existing row whose values differ from the defaults of the model."""
import asyncio

from sqlalchemy import select

from app.config import DatabaseSettings
from app.engine import for_migrations
from app.models import Task

async def main() -> None:
    engine = for_migrations(DatabaseSettings.load())
    columns = [column for column in Task.__table__.c if column.default and not column.primary_key]
    async with engine.connect() as connection:
        [row] = (await connection.execute(select(*columns).where(Task.title == "2"))).mappings()
    for column in columns:
        arg = column.default.arg
        expected = arg(None) if callable(arg) else arg
        if row[column.name] != expected and not column.name.endswith("ed_at"):
            print(column.name, repr(row[column.name]), repr(expected))
    await engine.dispose()

asyncio.run(main())
'''
IMPORTS = """
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.engine import UtcDateTime
from app.models.base import OwnedBase, now, owned_reference


FLAG = sa.text("flag")


class Kind(Enum):
    OPEN = "open"
    SHUT = "shut"


class Owned(OwnedBase):
    __abstract__ = True
    __table_args__: Any = ()


"""
TASK = """class Task(Owned):
    __tablename__ = "tasks"

    title: Mapped[str] = mapped_column(sa.String(200))
    description: Mapped[str | None] = mapped_column(sa.Text)
    completed: Mapped[bool] = mapped_column(default=False)


"""
# References that cascade, that do not cascade, and that refer to the same table.
REFERRING = """class Comment(Owned):
    __tablename__ = "comments"
    __table_args__ = (
        owned_reference("task_id", "tasks", ondelete="CASCADE"),
        owned_reference("parent_id", "comments"),
    )

    task_id: Mapped[UUID]
    parent_id: Mapped[UUID | None]


class Entry(Owned):
    __tablename__ = "entries"
    __table_args__ = (owned_reference("task_id", "tasks"),)

    task_id: Mapped[UUID]


"""
CHANGED = '''class Task(Owned):
    __tablename__ = "tasks"
    __table_args__ = (
        sa.UniqueConstraint("owner_id", "slug"),
        sa.CheckConstraint("amount >= 0", name="amount"),
        sa.Index("ix_part", "owner_id", sqlite_where=FLAG, postgresql_where=FLAG),
        sa.Index("ix_lower", sa.text("lower(title)")),
    )

    title: Mapped[str] = mapped_column(sa.String(300))
    description: Mapped[str] = mapped_column(sa.Text, default="it's :x 100%")
    completed: Mapped[bool | None] = mapped_column(default=False)
    slug: Mapped[str | None] = mapped_column(sa.String(50))
    flag: Mapped[bool] = mapped_column(default=True)
    amount: Mapped[int] = mapped_column(default=3)
    ratio: Mapped[float] = mapped_column(default=-1.5)
    price: Mapped[Decimal] = mapped_column(sa.Numeric(10, 2), default=Decimal("9.90"))
    quoted: Mapped[str] = mapped_column(
        sa.Text, default="""'it''s' "x" :y ::z 1:2 \\\\:w \\\\: 5% %s {a}\nend\'"""
    )
    empty: Mapped[str] = mapped_column(sa.String(5), default="")
    kind: Mapped[Kind] = mapped_column(default=Kind.OPEN)
    due: Mapped[date] = mapped_column(default=date(2026, 1, 2))
    first_at: Mapped[datetime] = mapped_column(
        UtcDateTime, default=datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
    )
    ref: Mapped[UUID] = mapped_column(default=UUID(int=7))
    finished_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    labels: Mapped[list[str]] = mapped_column(sa.JSON, default=list)
    tags: Mapped[list[str]] = mapped_column(
        sa.JSON().with_variant(sa.ARRAY(sa.Text), "postgresql"), default=list
    )
    content: Mapped[bytes] = mapped_column(default=b"it's \\x00\\xff\\\\")
    extra: Mapped[dict[str, str]] = mapped_column(sa.JSON, default=lambda: {"a": "it's :b 5%"})


'''
BETTER_AUTH = (
    'CREATE TABLE "user" (id text NOT NULL PRIMARY KEY, name text NOT NULL, '
    'email text NOT NULL UNIQUE, "emailVerified" boolean NOT NULL, image text, '
    '"createdAt" timestamptz DEFAULT CURRENT_TIMESTAMP NOT NULL)',
    "CREATE TABLE session (id text NOT NULL PRIMARY KEY, token text NOT NULL UNIQUE, "
    '"userId" text NOT NULL REFERENCES "user" (id) ON DELETE CASCADE)',
    'CREATE TABLE account (id text NOT NULL PRIMARY KEY, "accountId" text NOT NULL, '
    '"userId" text NOT NULL REFERENCES "user" (id) ON DELETE CASCADE)',
    "CREATE TABLE verification (id text NOT NULL PRIMARY KEY, identifier text NOT NULL)",
    'CREATE TABLE jwks (id text NOT NULL PRIMARY KEY, "publicKey" text NOT NULL)',
    'CREATE INDEX "session_userId_idx" ON session ("userId")',
    "INSERT INTO \"user\" VALUES ('1', 'Ann', 'a@example.com', true, NULL, '2026-01-01 00:00:00')",
)
BY_HAND = (
    "CREATE INDEX hand_partial ON tasks (owner_id, title) WHERE completed",
    "CREATE INDEX hand_expression ON tasks (lower(title))",
    "CREATE INDEX hand_descending ON tasks (created_at DESC)",
    "CREATE UNIQUE INDEX hand_unique ON tasks (id)",
    "CREATE VIEW hand_view AS SELECT c.id FROM tasks AS t JOIN comments AS c ON c.task_id = t.id",
    "ALTER TABLE tasks ADD COLUMN hand_column text",
)
BY_HAND_ON = {
    "sqlite": (
        "CREATE TABLE hand_log (title text)",
        "CREATE TRIGGER hand_trigger AFTER UPDATE OF version ON tasks "
        "BEGIN INSERT INTO hand_log VALUES (new.title); END",
        "CREATE TRIGGER hand_other AFTER DELETE ON entries "
        "BEGIN DELETE FROM tasks WHERE id = old.task_id; END",
    ),
    "postgresql": (
        "ALTER TABLE tasks ADD CONSTRAINT hand_constraint UNIQUE (owner_id, id, title)",
        "CREATE SCHEMA other",
        "CREATE TABLE other.tasks (id int)",
    ),
}
OTHERS = {
    "sqlite": (
        "SELECT name, sql FROM sqlite_master WHERE name LIKE 'hand%' OR tbl_name IN "
        "('user', 'session', 'account', 'verification', 'jwks') ORDER BY name",
    ),
    "postgresql": (
        "SELECT table_schema, table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = 'other' OR table_name IN "
        "('user', 'session', 'account', 'verification', 'jwks', 'hand_view') "
        "OR column_name = 'hand_column' ORDER BY 1, 2, 3",
        "SELECT indexdef FROM pg_indexes WHERE indexname ~ 'hand|session' ORDER BY 1",
    ),
}
ROWS = (
    "SELECT id, title, version FROM tasks ORDER BY id",
    "SELECT id, task_id, parent_id FROM comments ORDER BY id",
    "SELECT id, task_id FROM entries ORDER BY id",
    "SELECT count(*) FROM hand_view",
    'SELECT name FROM "user"',
)


def rows(first_number: int = 1) -> Iterator[str]:
    """Yield statements that insert three tasks, and rows that refer to them and to each other."""
    columns = "version, created_at, updated_at"
    values = "1, '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000'"
    for number in range(first_number, first_number + 3):
        task, first, second = (f"'{kind}{number:031x}'" for kind in "abc")
        text = "NULL" if number == 2 else "'text'"
        yield (
            f"INSERT INTO tasks (owner_id, id, title, description, completed, {columns}) "
            f"VALUES ('ann', {task}, '{number}', {text}, false, {values})"
        )
        for key, parent in ((first, "NULL"), (second, first)):
            yield (
                f"INSERT INTO comments (owner_id, id, task_id, parent_id, {columns}) "
                f"VALUES ('ann', {key}, {task}, {parent}, {values})"
            )
        yield (
            f"INSERT INTO entries (owner_id, id, task_id, {columns}) "
            f"VALUES ('ann', {first}, {task}, {values})"
        )


@dataclass(frozen=True)
class Migrated:
    """A migrated project with rows, and with tables and indexes that no migration made."""

    project: RenderedProject
    database: str
    url: str

    def run(self, command: str) -> str:
        return self.project.run(command, DATABASE_URL=self.url)

    def fail(self, command: str) -> str:
        """Return the output of a command that must fail."""
        with pytest.raises(AssertionError) as failed:
            self.run(command)
        return str(failed.value)

    def sql(self, *statements: str) -> str:
        if self.database == "postgresql":
            return self.run(shlex.join([".venv/bin/python", "sql.py", self.url, *statements]))
        with closing(sqlite3.connect(self.project.path / "tasks.db", isolation_level=None)) as file:
            rows = [row for statement in statements for row in file.execute(statement)]
        return "".join(f"{row}\n" for row in rows)

    @property
    def versions(self) -> set[Path]:
        return set((self.project.path / "migrations/versions").glob("*.py"))

    def define(self, models: str) -> None:
        names = re.findall(r"^class (\w+)\(Owned\)", models, re.MULTILINE)
        folder = self.project.path / "app/models"
        (folder / "task.py").write_text(IMPORTS.lstrip() + models)
        exported = ", ".join(f'"{name}"' for name in ("Base", *names))
        (folder / "__init__.py").write_text(
            f"from app.models.base import Base\nfrom app.models.task import {', '.join(names)}\n\n"
            f"__all__ = [{exported}]\n"
        )

    def write(self, models: str, name: str = "change") -> tuple[str, str]:
        """Define the models and write a migration. Return what was printed, and the migration."""
        self.define(models)
        before = self.versions
        printed = self.run(f"{ALEMBIC} revision --autogenerate -m {name}")
        [file] = self.versions - before
        return printed, file.read_text()

    def state(self) -> str:
        return self.sql(*ROWS, *OTHERS[self.database])


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def base(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Migrated]:
    """A project at its second revision, which tests must not change."""
    database = request.param
    project = Machine(tmp_path_factory.mktemp("machine")).render(database=database, frontend="none")
    project.run("make .venv/ready")
    for name, code in (("sql.py", SQL_PY), ("values.py", VALUES_PY)):
        (project.path / name).write_text(code.lstrip())
    server, url = None, "sqlite:///tasks.db"
    if database == "postgresql":
        url = f"postgresql://postgres@127.0.0.1:{free_ports(1)[0]}/postgres"
        ready = project.path / "ready"
        (project.path / "hold.sh").write_text("touch ready && exec sleep 600\n")
        server = Server(
            ".venv/bin/python -m scripts.postgres sh hold.sh",
            project.path,
            ready.exists,
            environment={"DATABASE_URL": url},
        )
        server.start()
    migrated = Migrated(project, database, url)
    try:
        migrated.run(f"{ALEMBIC} upgrade head")
        migrated.write(TASK + REFERRING)
        migrated.run(f"{ALEMBIC} upgrade head")
        migrated.sql(*rows(), *BETTER_AUTH, *BY_HAND, *BY_HAND_ON[database])
        yield migrated
    finally:
        if server:
            server.stop()


@pytest.fixture
def migrated(base: Migrated, tmp_path: Path) -> Migrated:
    """A copy of the project, with a copy of its database."""
    folder, url = tmp_path / "project", base.url
    ignored = shutil.ignore_patterns(".venv", ".postgres")
    shutil.copytree(base.project.path, folder, ignore=ignored)
    (folder / ".venv").symlink_to(base.project.path / ".venv")
    if base.database == "postgresql":
        name = re.sub(r"\W", "_", tmp_path.name)
        other = replace(base, url=f"{base.url.removesuffix('postgres')}template1")
        other.sql(f'CREATE DATABASE "{name}" TEMPLATE postgres')
        url = f"{base.url.removesuffix('postgres')}{name}"
    return Migrated(RenderedProject(folder), base.database, url)


def test_changes_of_tables_with_rows_keep_rows_and_other_objects(migrated: Migrated) -> None:
    before = migrated.state()
    migrated.define(CHANGED + REFERRING)
    files = migrated.versions

    migrated.run('make migration NAME="change Ann\'s \\"tasks\\""')
    [file] = migrated.versions - files
    migrated.run("make migrate")

    assert migrated.state() == before
    assert migrated.run(".venv/bin/python values.py") == ""
    assert not re.search(r"hand|user|session|account|verification|jwks|other", file.read_text())
    assert "No new upgrade operations" in migrated.run(f"{ALEMBIC} check")
    # The previous version of the service can still insert rows, without the new columns.
    migrated.sql(next(rows(4)), "DELETE FROM tasks WHERE title = '4'")
    migrated.run(".venv/bin/ruff check migrations && .venv/bin/ruff format --check migrations")

    migrated.run(f"{ALEMBIC} downgrade -1")
    migrated.run(f"{ALEMBIC} upgrade head")

    assert migrated.state() == before
    if migrated.database == "sqlite":
        tables = migrated.sql("SELECT sql FROM sqlite_master WHERE name IN ('tasks', 'comments')")
        assert tables.count("WITHOUT ROWID") == 2
        assert "ck_tasks_amount" in tables


def test_required_column_without_a_default_is_rejected_and_nothing_is_written(
    migrated: Migrated,
) -> None:
    required = "    {}: Mapped[UUID]{}\n"
    added = required.format("one", "") + required.format("two", " = mapped_column(default=uuid4)")
    migrated.define(TASK.rstrip() + f"\n{added}\n\n" + REFERRING)
    files = migrated.versions

    printed_error = migrated.fail(f"{ALEMBIC} revision --autogenerate -m needed")

    assert "existing rows would have no value for tasks.one and tasks.two" in printed_error
    assert "`default=`" in printed_error
    assert "Traceback" not in printed_error
    assert migrated.versions == files


def test_lossy_changes_print_a_warning_and_fail_if_a_value_does_not_fit(migrated: Migrated) -> None:
    before = migrated.state()
    narrow = TASK.replace("String(200)", "String(5)").replace("str | None", "int | None")
    narrow = narrow.replace("(sa.Text)", "(sa.Integer)")

    printed, written = migrated.write(narrow + REFERRING.partition("class Entry")[0])

    for line in (
        "Drops the table entries with all its rows.",
        "Changes tasks.title from VARCHAR(200) to VARCHAR(5).",
        "Changes tasks.description from TEXT to INTEGER.",
    ):
        assert line in printed
        assert f"# {line}" in written
    for title, description in (("123456", "1"), ("1", "text")):
        values = f"title = '{title}', description = '{description}' WHERE title IN ('1', '123456')"
        migrated.sql("UPDATE tasks SET description = NULL", f"UPDATE tasks SET {values}")
        assert "Cannot migrate: " in migrated.fail(f"{ALEMBIC} upgrade head")

    migrated.sql("UPDATE tasks SET title = '1', description = '5' WHERE title = '1'")
    assert migrated.state() == before
    migrated.run(f"{ALEMBIC} upgrade head")
    assert "(5,)" in migrated.sql("SELECT description FROM tasks WHERE description IS NOT NULL")


def test_suggested_rename_keeps_the_values_of_a_column(migrated: Migrated) -> None:
    before = migrated.state()
    renamed = TASK.replace("description:", "text:")
    printed, written = migrated.write(renamed + REFERRING)
    advice = 'op.alter_column("tasks", "description", new_column_name="new_name")'
    [file] = [file for file in migrated.versions if file.read_text() == written]

    file.write_text(
        re.sub(
            r"def upgrade.*",
            f"def upgrade() -> None:\\n    {advice.replace('new_name', 'text')}\\n",
            written,
            flags=re.DOTALL,
        )
    )
    migrated.run(f"{ALEMBIC} upgrade head")

    assert "Drops tasks.description with its values." in printed
    assert advice in printed
    assert migrated.sql("SELECT text FROM tasks ORDER BY id") == "('text',)\n(None,)\n('text',)\n"
    assert migrated.state() == before
    assert "No new upgrade operations" in migrated.run(f"{ALEMBIC} check")


def test_model_with_the_name_of_another_applications_table_does_not_change_it(
    migrated: Migrated,
) -> None:
    before = migrated.state()
    model = 'class User(Owned):\n    __tablename__ = "user"\n'

    _, written = migrated.write(TASK + REFERRING + model)
    printed_error = migrated.fail(f"{ALEMBIC} upgrade head")

    assert re.findall(r"op\.(\w+)", written) == ["create_table", "f", "drop_table"]
    assert '"user" already exists' in printed_error.replace("table user", 'table "user"')
    assert "Traceback" not in printed_error
    assert migrated.state() == before


def test_migration_that_breaks_a_reference_is_rolled_back(migrated: Migrated) -> None:
    before = migrated.state()
    migrated.run(f"{ALEMBIC} revision -m erase")
    [file] = [file for file in migrated.versions if "_erase" in file.name]
    erase = "op.execute(\"DELETE FROM tasks WHERE title = '1'\")"
    file.write_text(file.read_text().replace("    pass", f"    {erase}", 1))

    printed_error = migrated.fail(f"{ALEMBIC} upgrade head")

    assert re.search(r"Cannot migrate: .*(comments|entries)", printed_error)
    assert "Traceback" not in printed_error
    assert migrated.state() == before


def test_downgrade_restores_a_dropped_required_column_as_optional(migrated: Migrated) -> None:
    printed, written = migrated.write(TASK + REFERRING.rpartition("    __table_args__")[0])

    migrated.run(f"{ALEMBIC} upgrade head")
    migrated.run(f"{ALEMBIC} downgrade -1")

    assert "Drops entries.task_id with its values." in printed
    assert "nullable=True" in written
    assert migrated.sql("SELECT task_id FROM entries") == "(None,)\n" * 3
