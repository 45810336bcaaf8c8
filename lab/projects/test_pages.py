"""The code and diffs in docs/ work, and the suite finds mistakes in that code."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import pytest

from lab.pages import follow
from tests.rendering import Machine, RenderedProject

BASEDPYRIGHT = "uv tool run --quiet basedpyright --level error --pythonpath .venv/bin/python app"
PYTEST = "-m pytest -q -o faulthandler_timeout=60"
# One worker for each database, because building a project takes longer than most of these tests.
DATABASES = [
    pytest.param(database, marks=pytest.mark.xdist_group(f"pages on {database}"))
    for database in ("sqlite", "postgresql")
]
only_sqlite = pytest.mark.parametrize("project", DATABASES[:1], indirect=True)


@pytest.fixture(scope="module", params=DATABASES)
def project(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> RenderedProject:
    """A project to which the pages on authorization, admins, data access and MCP were applied."""
    machine = Machine(tmp_path_factory.mktemp("machine"))
    project = machine.render(database=request.param, frontend="none")
    for page in ("authorization.md", "admin-endpoints.md", "data-access.md", "mcp.md"):
        follow(project, page)
    project.run("make .venv/ready")
    return project


OWN_TESTS = " ".join(
    f"tests/test_{name}.py" for name in ("admin", "finish", "jobs", "mcp", "unfinished")
)


@contextmanager
def changing(project: RenderedProject) -> Iterator[None]:
    """Restore the code after the block."""
    folders = ("app", "scripts", "tests")
    before = project.path.with_name("before")
    for folder in folders:
        shutil.copytree(project.path / folder, before / folder)
    try:
        yield
    finally:
        for folder in folders:
            shutil.rmtree(project.path / folder)
        shutil.copytree(before, project.path, dirs_exist_ok=True)
        shutil.rmtree(before)


def replace(project: RenderedProject, file: str, old: str, new: str) -> None:
    path = project.path / file
    text = path.read_text()
    assert text.count(old) == 1, f"{file}: {old}"
    path.write_text(text.replace(old, new))


def output(project: RenderedProject, command: str) -> str:
    """Return the output of a command that must fail."""
    with pytest.raises(AssertionError) as failed:
        project.run(command)
    return str(failed.value)


def check(project: RenderedProject) -> None:
    for command in ("ruff check", "ruff format --check", "mypy", "lint-imports"):
        project.run(f".venv/bin/{command}")


def test_tests_in_the_pages_pass_and_cover_their_code(project: RenderedProject) -> None:
    files = ("jobs", "repositories/admin", "repositories/task", "routers/admin", "routers/mcp")
    included = ",".join(f"app/{file}.py" for file in files)

    project.run(f".venv/bin/coverage run {PYTEST} {OWN_TESTS}")
    project.run(".venv/bin/coverage combine --quiet")

    project.run(f".venv/bin/coverage report --include={included}")


@only_sqlite
def test_code_in_the_pages_passes_the_checks(project: RenderedProject) -> None:
    check(project)


@only_sqlite
def test_generated_requests_find_no_fault_in_endpoints_of_the_pages(
    project: RenderedProject,
) -> None:
    tests = "tests/test_openapi.py tests/test_rights.py"
    project.run(f".venv/bin/python {PYTEST} {tests} -m '' -k 'not stranger'")


@only_sqlite
def test_suite_fails_if_an_unscoped_statement_is_not_listed_with_its_sql(
    project: RenderedProject,
) -> None:
    with changing(project):
        replace(project, "tests/conftest.py", '"an administrator lists all users"', '"another"')
        replace(project, "tests/conftest.py", "^SELECT DISTINCT", "^SELECT ALL")
        printed = output(
            project, f".venv/bin/python {PYTEST} tests/test_admin.py tests/test_jobs.py"
        )

    assert "Statements without an owner that UNSCOPED" in printed
    assert "('an administrator lists all users', 'SELECT tasks.owner_id, count" in printed
    assert "('a job finds the users who have tasks', 'SELECT DISTINCT tasks.owner_id" in printed


@only_sqlite
def test_suite_fails_if_a_query_omits_the_owner(project: RenderedProject) -> None:
    with changing(project):
        replace(project, "app/repositories/task.py", "    .where(Task.owner_id == OWNER)\n", "")
        printed = output(project, f".venv/bin/python {PYTEST} tests/test_unfinished.py")

    assert "UnscopedStatement: tasks" in printed


@only_sqlite
def test_import_contract_fails_if_a_router_imports_acting_as(project: RenderedProject) -> None:
    with changing(project):
        with (project.path / "app/routers/admin.py").open("a") as router:
            router.write("\nfrom app.security.acting import acting_as  # noqa\n")
        printed = output(project, ".venv/bin/lint-imports")

    assert "A request acts only for the user of its token BROKEN" in printed


@only_sqlite
def test_type_checkers_report_misspelled_members(project: RenderedProject) -> None:
    with changing(project):
        replace(project, "app/jobs.py", 'task["version"]', 'task["versoin"]')
        replace(project, "app/jobs.py", 'delete(task["id"]', 'delete(task["title"]')

        for command in (".venv/bin/mypy", BASEDPYRIGHT):
            printed = output(project, command)
            assert "versoin" in printed
            assert re.search(r"jobs.py:.*UUID", printed, re.DOTALL)
            assert "2 errors" in printed  # and none in the code of the pages


@only_sqlite
def test_sketches_in_limits_pass_the_checks_and_their_tests(
    project: RenderedProject,
) -> None:
    with changing(project):
        files = follow(project, "limits.md")
        check(project)
        project.run(f".venv/bin/python {PYTEST} tests/test_doctor.py tests/test_organizations.py")

    assert Path("app/repositories/shared.py") in files


@pytest.mark.parametrize(
    ("database", "token_verification"),
    [*product(("sqlite", "postgresql"), ("shared-secret", "jwks"))],
)
def test_pages_apply_to_projects_with_a_frontend(
    machine: Machine, database: str, token_verification: str
) -> None:
    project = machine.render(database=database, token_verification=token_verification)

    first = ["authorization.md", "admin-endpoints.md"]  # in either order
    for page in (
        *sorted(first, reverse=database == "sqlite"),
        "data-access.md",
        "mcp.md",
        "limits.md",
    ):
        follow(project, page)

    lib = project.path / "frontend/lib"
    assert "admin(),\n    tokens,\n    provider," in (lib / "auth.ts").read_text()
    assert "role: user.role" in (lib / f"tokens-{token_verification}.ts").read_text()
