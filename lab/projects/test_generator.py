"""`make resource` and `make field` write code that passes all checks, or change nothing."""

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lab.servers import wait_until
from tests.rendering import Machine, RenderedProject, cannot_run, clean_environment

ALL_TYPES = (
    'title:str="New note" subtitle:str? body:text? size:int=5 count:int? ratio:float=1.5 '
    "rank:float? archived:bool=false done:bool? due_on:date? starts_on:date=2026-01-31 "
    "seen_at:datetime? sent_at:datetime=2026-01-31T12:00:00+01:00 status:enum(open,done)=open "
    "kind:enum(a,b)? task:ref(tasks) other:ref(tasks)? parent:ref(notes)?"
)
# Names that are valid, although SQL, tests or libraries use them.
ODD_NAMES = "name:str limit:int cursor:text self:str client:int match:date order:bool version_1:int"


@pytest.fixture(scope="module")
def installed() -> Iterator[RenderedProject]:
    """A committed project with dependencies, which tests copy and must not change."""
    with TemporaryDirectory(prefix="generator-") as folder:
        machine = Machine(Path(folder))
        project = machine.render(frontend="none")
        project.run("make migrate")
        machine.git(project.path, "init --quiet", "add --all", "commit --quiet --message=base")
        yield project


@pytest.fixture
def project(installed: RenderedProject, tmp_path: Path) -> RenderedProject:
    folder = tmp_path / "project"
    shutil.copytree(installed.path, folder, ignore=shutil.ignore_patterns(".venv"))
    (folder / ".venv").symlink_to((installed.path / ".venv").resolve())
    return RenderedProject(folder)


def changes(project: RenderedProject) -> str:
    """Return the differences from the commit, and the names of new files."""
    return project.run("git status --short --untracked-files=all -- ':!.venv' && git diff")


def error_line(project: RenderedProject, *command: str, **environment: str) -> str:
    """Run a command that must fail without changes, and return its one line."""
    before = changes(project)
    done = subprocess.run(
        command,
        cwd=project.path,
        env=clean_environment() | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert changes(project) == before
    [line] = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    return line


@pytest.mark.parametrize(
    ("database", "checks"),
    [
        ("sqlite", "make check"),
        # What depends on the database: the quick tests, and the generated requests.
        ("postgresql", "make test && .venv/bin/pytest tests/test_openapi.py -m ''"),
    ],
)
def test_generated_resources_pass_all_checks_without_edits(
    machine: Machine, database: str, checks: str
) -> None:
    project = machine.render(database=database, frontend="none")
    commands = [
        ("resource", "NAME=note", f"FIELDS={ALL_TYPES}"),
        ("resource", "NAME=task-list", f"FIELDS={ODD_NAMES} note:ref(notes,cascade)"),
        ("resource", "NAME=person", "PLURAL=people", "FIELDS=score:float joined_at:datetime"),
        ("field", "RESOURCE=task", "FIELD=due_on:date?"),
        ("field", "RESOURCE=task", "FIELD=priority:enum(low,high)=low"),
        ("field", "RESOURCE=task", "FIELD=person:ref(people)?"),
    ]

    for command in commands:
        done = machine.run("make", *command, cwd=project.path)
        assert done.returncode == 0, done.stdout + done.stderr
    printed = project.run(checks)

    assert " passed" in printed
    assert not re.search(r"\d skipped", printed)  # coverage skips files


INVALID_RESOURCES = [
    # Taken names
    ("task", "", "title:str", "task exists already"),
    ("me", "", "title:str", "me exists already"),
    ("resource", "", "title:str", "resource exists already"),
    ("note", "tasks", "title:str", "TASKS"),
    ("note", "jwks", "title:str", "the table jwks exists already"),
    # Reserved names
    ("class", "", "title:str", "built-in of Python"),
    ("none", "", "title:str", "built-in of Python"),
    ("list", "", "title:str", "built-in of Python"),
    ("page", "", "title:str", "PageQuery"),
    ("date", "", "title:str", "Date"),
    ("json", "", "title:str", "json"),
    ("change", "", "title:str", "changes"),
    ("test_case", "", "title:str", "pytest"),
    # Invalid names
    ("", "", "title:str", "is not a valid name"),
    ("Note", "", "title:str", "is not a valid name"),
    ("no'te", "", "title:str", "is not a valid name"),
    ("no\nte", "", "title:str", "is not a valid name"),
    ("../note", "", "title:str", "is not a valid name"),
    ("nöte", "", "title:str", "is not a valid name"),
    ("x" * 31, "", "title:str", "too long"),
    ("notes", "", "title:str", "looks like a plural"),
    ("news", "news", "title:str", "must differ"),
    # Fields
    ("note", "", "", "at least one field"),
    ("note", "", "title", "Cannot read"),
    ("note", "", "title:enum(a,b", "Cannot read"),
    ("note", "", 'title:str="x', "Cannot read"),
    ("note", "", "title:str\nbody:text", "line breaks"),
    ("note", "", "title:string", "there is no type 'string'"),
    ("note", "", "title:str title:str", "listed twice"),
    ("note", "", "id:int", "every resource has this column"),
    ("note", "", "owner:ref(tasks)", "every resource has this column"),
    ("note", "", "user_id:str", "reserved"),
    ("note", "", "date:date", "used by models or schemas"),
    ("note", "", "metadata:str", "used by models or schemas"),
    ("note", "", "copy:str", "used by models or schemas"),
    ("note", "", "mro:str", "used by models or schemas"),
    ("note", "", "register:str", "used by models or schemas"),
    ("note", "", "class:str", "keyword"),
    ("note", "", "a__b:str", "is not a valid name"),
    ("note", "", f"{'x' * 41}:str", "too long"),
    ("note", "", f"{'x' * 40}:str", "the name of its index"),
    ("note", "", "limit:bool", "lists have the query parameter limit"),
    ("note", "", "due_on:date due_on_min:bool", "has due_on_min already"),
    ("note", "", "page:enum(a,b)", "defines NotePage already"),
    ("note", "", "task:ref(nothing)", "there is no table 'nothing'"),
    ("note", "", "task:ref()", "write the type as ref(tasks)"),
    ("note", "", "parent:ref(notes)", "must be optional"),
    # Defaults
    ("note", "", "size:int=x", "is not valid"),
    ("note", "", f"size:int={2**53}", "is not valid"),
    ("note", "", "kind:enum(a,b)=c", "not one of the values"),
    ("note", "", "due_on:date=2026-13-01", "is not valid"),
    ("note", "", "done:bool=maybe", "is not valid"),
    ("note", "", 'title:str=""', "is not valid"),
    ("note", "", f'title:str="{"x" * 201}"', "is not valid"),
    ("note", "", "title:str?=x", "either optional"),
    ("note", "", "task:ref(tasks)=1", "cannot have a default"),
]
INVALID_FIELDS = [
    ("nothing", "title:str", "There is no resource"),
    ("task", "title:str", "has title already"),
    ("task", "a:str b:str", "one field at a time"),
    ("task", "rank:int", "no value"),
]
COLLECT = """
import json, sys
from scripts.generator.resource import create_field, create_resource
from scripts.generator.source import GeneratorError

for call, arguments in json.load(sys.stdin):
    try:
        (create_resource if call == "resource" else create_field)(*arguments)
        print(json.dumps("written"))
    except GeneratorError as error:
        print(json.dumps(str(error)))
"""


def test_invalid_resources_and_fields_are_rejected_in_one_line(project: RenderedProject) -> None:
    calls = [("resource", (name, fields, plural)) for name, plural, fields, _ in INVALID_RESOURCES]
    calls += [("field", (resource, field)) for resource, field, _ in INVALID_FIELDS]
    reasons = [invalid[-1] for invalid in (*INVALID_RESOURCES, *INVALID_FIELDS)]

    done = subprocess.run(
        [".venv/bin/python", "-c", COLLECT],
        cwd=project.path,
        env=clean_environment(),
        input=json.dumps(calls),
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    for call, reason, message in zip(calls, reasons, messages, strict=True):
        assert reason in message, call
        assert "\n" not in message
        assert len(message) < 300
    assert changes(project) == ""


NOTE = ("make", "resource", "NAME=note", "FIELDS=title:str")


@pytest.mark.parametrize(
    ("command", "environment", "reason"),
    [
        (("make", "resource"), {"NAME": "note", "FIELDS": "title:str"}, "fields: make resource"),
        (("make", "resource", "FIELDS=title:str"), {"NAME": "note"}, "fields: make resource"),
        (("make", "field", "RESOURCE=task"), {"FIELD": "due_on:date"}, "the field: make field"),
        (("make", "resource", "NAME=no'te", "FIELDS=title:str"), {}, "is not a valid name"),
        (("make", "resource", "NAME=no\nte", "FIELDS=title:str"), {}, "is not a valid name"),
        (("make", "resource", "NAME=-n", "FIELDS=title:str"), {}, "is not a valid name"),
        (("make", "resource", "NAME=$(note)", "FIELDS=title:str"), {}, "'$(note)' is not"),
        (("make", "resource", "NAME=note", "FIELDS=size:int=$5"), {}, "the default '$5' is not"),
        (("make", "resource", "NAME=note", "FIELDS="), {}, "at least one field"),
        (NOTE, {"DATABASE_URL": "sqlite:////nowhere/tasks.db"}, "migration cannot be written"),
        (NOTE, {"DATABASE_URL": "sqlite:///README.md"}, "without the database: DatabaseError"),
    ],
)
def test_make_with_invalid_arguments_prints_one_line_and_changes_nothing(
    project: RenderedProject, command: tuple[str, ...], environment: dict[str, str], reason: str
) -> None:
    assert reason in error_line(project, *command, **environment)


def test_second_run_changes_nothing(project: RenderedProject) -> None:
    project.run('make resource NAME=note FIELDS="title:str"')

    assert "note exists already" in error_line(project, *NOTE)

    project.run('make field RESOURCE=note FIELD="due_on:date?"')
    field = ("make", "field", "RESOURCE=note", "FIELD=due_on:date?")
    assert "has due_on already" in error_line(project, *field)


def test_failed_migration_restores_all_files(project: RenderedProject) -> None:
    (project.path / "migrations/script.py.mako").write_text("${1 / 0}")

    assert "migration cannot be written" in error_line(project, *NOTE)
    field = ("make", "field", "RESOURCE=task", "FIELD=due_on:date?")
    assert "migration cannot be written" in error_line(project, *field)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_command_restores_all_files(
    project: RenderedProject, number: signal.Signals
) -> None:
    mako = project.path / "migrations/script.py.mako"
    mako.write_text("<% import time; open('waiting', 'w').close(); time.sleep(60) %>")
    before = changes(project)

    command = (".venv/bin/python", "-m", "scripts.resource", "note", "title:str")
    with subprocess.Popen(
        command, cwd=project.path, env=clean_environment(), stderr=subprocess.DEVNULL
    ) as process:
        waiting = project.path / "waiting"
        wait_until(waiting.exists, 60, lambda: "The migration was not written")
        process.send_signal(number)

    waiting.unlink()
    assert process.returncode != 0
    assert changes(project) == before


OWN = """    @field_validator("title")
    @classmethod
    def no_shouting(cls, title: str) -> str:
        return title  # as it is


class TaskUpdate("""


def test_adding_a_field_keeps_uncommitted_edits(project: RenderedProject) -> None:
    schema = project.path / "app/schemas/task.py"
    edited = schema.read_text().replace("\n\nclass TaskUpdate(", f"\n{OWN}")
    edited = edited.replace("import MISSING", "import field_validator, MISSING")
    schema.write_text(edited.replace("StrictBool = False", "StrictBool = False  # not yet"))
    project.run("make format")
    before = schema.read_text()

    project.run('make field RESOURCE=task FIELD="status:enum(open,done)=open"')

    after = schema.read_text()
    assert [line for line in before.splitlines() if line not in after.splitlines()] == []
    assert "    completed: StrictBool = False  # not yet\n    status: TaskStatus = " in after
    project.run(".venv/bin/ruff check && .venv/bin/ruff format --check && .venv/bin/mypy")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("app/models/task.py", "class Task(", "class Tasks("),
        ("app/repositories/task.py", "    model = Task", "    model = ("),
        ("app/schemas/task.py", "TaskQuery", "TaskFilters"),
        ("app/repositories/task.py", "TaskRepository", "AllTasks"),
        ("tests/resources/task.py", "accepted=", "accepts="),
    ],
)
def test_file_without_the_expected_code_is_named_in_the_message(
    project: RenderedProject, file: str, old: str, new: str
) -> None:
    everywhere = old.isidentifier()
    for path in project.path.glob("app/*/task.py") if everywhere else [project.path / file]:
        path.write_text(path.read_text().replace(old, new))

    line = error_line(
        project, ".venv/bin/python", "-m", "scripts.field", "task", "status:enum(a,b)"
    )

    assert file in line


def test_frontend_types_include_the_new_endpoints(machine: Machine) -> None:
    if not shutil.which("npm"):
        cannot_run("npm is missing")
    project = machine.render()
    types = project.path / "frontend/lib/api-types.ts"
    before = types.read_text()

    offline = project.run(
        'make resource NAME=note FIELDS="title:str"', npm_config_registry="http://127.0.0.1:9"
    )
    kept = types.read_text()
    project.run('make field RESOURCE=note FIELD="due_on:date?"')

    assert "run `npm run api-types` in frontend/" in offline
    assert kept == before
    assert "due_on_min" in types.read_text()
    tools = "--package=openapi-typescript@~7.13.0 --package=typescript@~5.9.3"
    project.run(f"cd frontend && npm exec --yes {tools} -c 'npm run api-types:check'")
