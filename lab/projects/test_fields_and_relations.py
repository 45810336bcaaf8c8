"""The commands and diffs in docs/fields-and-relations.md work, on tables with rows."""

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lab.pages import applying, blocks
from tests.rendering import Machine, RenderedProject

PATH = os.environ["PATH"]
CHECKS = """
make format
.venv/bin/ruff check
.venv/bin/python -m pytest -q tests/test_resources.py tests/test_tasks.py tests/test_migrations.py \
    tests/test_repositories.py
"""
WITH_TASKS = """
import asyncio

from app.config import DatabaseSettings
from app.database import Database
from app.repositories.task import TaskRepository
from app.schemas.task import TaskQuery
from app.security.acting import acting_as


async def main() -> None:
    database = Database(DatabaseSettings.load())
    tasks = TaskRepository(database, acting_as("ann", reason="a test"))
    {statement}
    await database.close()


asyncio.run(main())
"""


def run_with_tasks(project: RenderedProject, statement: str) -> str:
    """Run a statement that uses `tasks`, Ann's repository on the development database."""
    script = project.path / "with_tasks.py"
    script.write_text(WITH_TASKS.format(statement=statement))
    beside = "python -m scripts.postgres " if (project.path / ".postgres").exists() else ""
    printed = project.run(f"{beside}python with_tasks.py", PATH=f"{project.path}/.venv/bin:{PATH}")
    script.unlink()
    return printed


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_commands_and_diffs_of_the_page_work_and_keep_rows(machine: Machine, database: str) -> None:
    project = machine.render(database=database, frontend="none")
    project.run("make migrate")
    run_with_tasks(project, 'await tasks.create({"title": "Kept"})')

    printed = follow(project, "fields-and-relations.md")
    project.run("make migrate")

    assert "Drops tasks.notes with its values" in printed
    assert "('Kept', None, 1)" in run_with_tasks(
        project,
        "[[task], _] = await tasks.list(TaskQuery()); "
        'print((task["title"], task["due_on"], task["version"]))',
    )


def test_list_filtered_by_a_reference_uses_its_index(machine: Machine) -> None:
    project = machine.render(frontend="none")
    project.run('make resource NAME=comment FIELDS="text:str task:ref(tasks)?" migrate')
    with closing(sqlite3.connect(project.path / "tasks.db")) as database, database:
        database.executemany(
            "INSERT INTO comments VALUES (?, ?, 'x', ?, 1, '', '')",
            [(f"user {n % 5}", f"{n:032x}", f"{n % 99:032x}") for n in range(2_000)],
        )
    project.run("make migrate")

    with closing(sqlite3.connect(project.path / "tasks.db")) as database:
        [plan] = database.execute(
            "EXPLAIN QUERY PLAN SELECT * FROM comments WHERE owner_id = 'user 1' AND task_id = 'x' "
            "ORDER BY id DESC LIMIT 21"
        )

    assert "USING INDEX ix_comments__owner_id__task_id__id (owner_id=? AND task_id=?)" in plan[3]


def follow(project: RenderedProject, page: str) -> str:
    """Run each command and apply each diff of a page, in order. Return the output.

    A Python block replaces the functions of the newest migration.
    """
    text = (project.path / "docs" / page).read_text()
    printed = []
    for kind, block, _ in blocks(text, "sh|diff|python"):
        if kind == "python":
            migration = newest_migration(project)
            head, _, _ = migration.read_text().partition("def upgrade")
            migration.write_text(head + block)
        elif kind == "diff":
            printed.append(project.run(applying(block)))
        else:
            printed.append(project.run(block.replace("make format check", CHECKS)))
    return "".join(printed)


def newest_migration(project: RenderedProject) -> Path:
    [revision] = re.findall(r"(?m)^(\w+) \(head\)", project.run(".venv/bin/alembic heads"))
    [migration] = (project.path / "migrations/versions").glob(f"*{revision}*")
    return migration
