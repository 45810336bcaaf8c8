"""The examples in docs/data-access.md work, and mistakes in them are found."""

import re

import pytest
from conftest import Machine, RenderedProject

BASEDPYRIGHT = "uv tool run --quiet basedpyright --level error --pythonpath .venv/bin/python app"
USES = """
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from app.database import Database
from app.errors import NotFound
from app.jobs import clean_up
from app.repositories.task import TaskRepository
from app.security.acting import acting_as

pytestmark = pytest.mark.usefixtures("service")

ANN, BOB = (acting_as(name, reason="a test") for name in ("ann", "bob"))


async def test_the_page(database: Database) -> None:
    anns, bobs = TaskRepository(database, ANN), TaskRepository(database, BOB)
    await bobs.create({"title": "Bob's"})
    task = await anns.create({"title": "first"})

    following = await anns.finish(task["id"], "second")
    with pytest.raises(NotFound):
        await anns.finish(uuid4(), "never")

    assert await anns.unfinished(datetime.now(UTC)) == [following]
    assert await clean_up(database, "ann") == 2
    assert await anns.unfinished(datetime.now(UTC)) == [following]
"""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def project(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> RenderedProject:
    """A project with the examples of the page in it."""
    machine = Machine(tmp_path_factory.mktemp("machine"))
    project = machine.render(database=request.param, frontend="none")
    project.run("make .venv/ready")
    page = (project.path / "docs/data-access.md").read_text()
    blocks = list(re.finditer(r"```python\n(.*?)```", page, re.DOTALL))
    names = [re.findall(r"`(app/[\w/]+\.py)`", page[: block.start()])[-1] for block in blocks]
    assert names == ["app/repositories/task.py", "app/jobs.py"]
    for name, block in zip(names, blocks, strict=True):
        (project.path / name).write_text(block[1])
    (project.path / "tests/test_page.py").write_text(USES)
    return project


def output(project: RenderedProject, command: str) -> str:
    """Return what a command prints that must fail."""
    with pytest.raises(AssertionError) as failed:
        project.run(command)
    return str(failed.value)


def listed(project: RenderedProject, reason: str) -> None:
    conftest = project.path / "tests/conftest.py"
    conftest.write_text(
        conftest.read_text().replace("UNSCOPED = {", f'UNSCOPED = {{\n    "{reason}": "count",')
    )


def test_examples_work_once_the_unscoped_reason_is_listed(project: RenderedProject) -> None:
    run = ".venv/bin/python -m pytest -q tests/test_page.py"

    assert "statistics of all users" in output(project, run)
    listed(project, "statistics of all users")
    project.run(run)
    for check in ("ruff check app", "ruff format --check app", "mypy", "lint-imports"):
        project.run(f".venv/bin/{check}")
    project.run(BASEDPYRIGHT)


def test_type_checkers_report_misspelled_members(project: RenderedProject) -> None:
    router, jobs = project.path / "app/routers/task.py", project.path / "app/jobs.py"
    before = {file: file.read_text() for file in (router, jobs)}
    router.write_text(before[router].replace('task["version"]', 'task["versoin"]'))
    jobs.write_text(before[jobs].replace('task["id"]', 'task["title"]'))

    try:
        for command in (".venv/bin/mypy", BASEDPYRIGHT):
            said = output(project, command)
            assert "versoin" in said
            assert re.search(r"jobs.py:.*UUID", said, re.DOTALL)
    finally:
        for file, code in before.items():
            file.write_text(code)


def test_suite_fails_if_a_query_omits_the_owner(project: RenderedProject) -> None:
    file = project.path / "app/repositories/task.py"
    before = file.read_text()
    file.write_text(before.replace("    .where(Task.owner_id == OWNER)\n", ""))

    try:
        said = output(project, ".venv/bin/python -m pytest -q tests/test_page.py")
        assert "UnscopedStatement: tasks" in said
    finally:
        file.write_text(before)
