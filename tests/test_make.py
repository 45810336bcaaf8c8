"""Make commands of the template, in a fresh copy, and what they share with those of projects."""

import os
import re
import select
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.rendering import (
    PROJECT,
    ROOT,
    Machine,
    RenderedProject,
    clean_environment,
    copy_template,
)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "with spaces"
    folder.mkdir()
    copy_template(folder, "Makefile", "pyproject.toml")
    return folder


def make(clone: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=clone,
        env=clean_environment() | environment,
        capture_output=True,
        text=True,
    )


OLD = "exit 1"
WITHOUT_VENV = """case "$*" in *venv*) exit 1 ;; esac"""
WITHOUT_NETWORK = (
    """case "$*" in *venv*) mkdir -p .tools/bin; ln -sf /bin/false .tools/bin/python ;; esac"""
)
INSTALLING = "Installing uv into .tools"
TOO_OLD = "Python >= 3.11 is needed: make PYTHON=/path/to/python3.11"


@pytest.fixture(params=["template", "project"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with a Makefile: the template, or a project."""
    if request.param == "template":
        return request.getfixturevalue("clone")
    return request.getfixturevalue("machine").render().path


def pretend(folder: Path, name: str, lines: str) -> str:
    """Write a fake program, and return the argument that makes make use it."""
    program = folder / f"pretended-{name}"
    program.write_text(f"#!/bin/sh\n{lines}\n")
    program.chmod(0o755)
    return f"{name}={program}"


@pytest.mark.parametrize(
    ("python", "uv", "said"),
    [
        (None, ":", [TOO_OLD]),
        (OLD, ":", [TOO_OLD]),
        (
            WITHOUT_VENV,
            None,
            [
                INSTALLING,
                "Python's venv module does not work. "
                "Install it (on Debian: apt-get install python3-venv).",
            ],
        ),
        (
            WITHOUT_NETWORK,
            None,
            [INSTALLING, "uv could not be installed. Check the network connection."],
        ),
    ],
    ids=["no Python", "old Python", "no venv", "no network"],
)
def test_missing_requirement_is_reported_in_one_line(
    house: Path, tmp_path: Path, python: str | None, uv: str | None, said: list[str]
) -> None:
    pretended = [
        pretend(tmp_path, "PYTHON", python) if python else "PYTHON=",
        pretend(tmp_path, "UV", uv) if uv else "UV=.tools/bin/uv",
    ]

    done = make(house, "test", *pretended)

    assert done.returncode != 0
    assert done.stdout == ""
    assert [line for line in done.stderr.splitlines() if not line.startswith("make: ")] == said


def test_failed_installation_shows_uvs_reason_and_advice(house: Path, tmp_path: Path) -> None:
    done = make(house, "test", pretend(tmp_path, "UV", "echo The reason >&2; exit 1"))

    doing, reason, advice, _ = done.stderr.splitlines()
    assert re.fullmatch(r"Installing .* into \.venv \(may take a minute\)", doing)
    assert reason == "The reason"
    assert re.fullmatch(r"The \w+ could not be installed\. Check the network connection\.", advice)


def test_make_token_prints_only_the_token_to_stdout(machine: Machine, tmp_path: Path) -> None:
    project = machine.render()
    uv = pretend(tmp_path, "UV", "if [ $1 = sync ]; then mkdir .venv; else echo token; fi")

    done = make(project.path, "-s", "token", uv)

    assert done.stdout == "token\n"
    assert done.stderr == "Installing dependencies into .venv (may take a minute)\n"


@pytest.fixture
def showing(machine: Machine, tmp_path: Path) -> Callable[..., dict[str, str]]:
    """`showing(command, NAME=value)` returns the environment that a project's command gets."""
    project = machine.render().path
    uv = pretend(tmp_path, "UV", "if [ $1 = sync ]; then mkdir -p .venv; else env; fi")

    def showing(*command: str, **environment: str) -> dict[str, str]:
        printed = make(project, "-s", *command, uv, **environment).stdout
        return dict(line.split("=", 1) for line in printed.splitlines() if "=" in line)

    return showing


FOREIGN = """
    ALEMBIC_CONFIG PYTEST_DISABLE_PLUGIN_AUTOLOAD PIP_TARGET PIP_USER PYTHONHOME PYTHON_GIL
    PYTHONOPTIMIZE PYTHONPATH PYTHONSAFEPATH PYTHONWARNINGS UV_NO_DEV UV_PROJECT UV_PYTHON
    UV_PROJECT_ENVIRONMENT UV_SYSTEM_PYTHON UV_WORKING_DIRECTORY VIRTUAL_ENV
"""


def test_commands_do_not_inherit_variables_of_other_tools(
    showing: Callable[..., dict[str, str]],
) -> None:
    own = dict.fromkeys(
        ("UV_INDEX_URL", "UV_CACHE_DIR", "HTTPS_PROXY", "SUB", "HOST", "PYTEST_ADDOPTS"), "x"
    )

    shown = showing("token", **dict.fromkeys(FOREIGN.split(), "/another/tool"), **own)

    assert not shown.keys() & FOREIGN.split()
    assert shown.items() >= own.items()


def test_without_usable_home_caches_go_beside_the_tools(
    showing: Callable[..., dict[str, str]], machine: Machine, tmp_path: Path
) -> None:
    own = str(machine.output.resolve() / "task-service/.tools/home")

    for home in ("", "/dev/null", str(tmp_path / "missing")):
        assert showing("token", HOME=home)["HOME"] == own
    assert showing("token", HOME=str(machine.home))["HOME"] == str(machine.home)


def test_scope_and_role_of_a_token_are_taken_from_the_command_line_only(
    machine: Machine, tmp_path: Path
) -> None:
    project = machine.render().path
    uv = pretend(tmp_path, "UV", 'if [ $1 = sync ]; then mkdir -p .venv; else echo "$@"; fi')

    def arguments(*given: str) -> str:
        printed = make(project, "-s", "token", *given, uv, SCOPE="x", ROLE="x").stdout
        return printed.strip().partition("scripts.sign_token")[2].strip()

    assert arguments() == ""
    assert arguments("SCOPE=tasks:read $x", "ROLE=admin") == "--scope=tasks:read $x --role=admin"
    assert arguments("SCOPE=") == "--scope="


def commands_of(
    project: RenderedProject, folder: Path, *goal: str, **environment: str
) -> list[str]:
    """The commands that make runs for this goal, without `uv run` and its options."""
    uv = pretend(folder, "UV", 'if [ $1 = sync ]; then mkdir -p .venv; else echo "$@"; fi')
    printed = make(project.path, "-s", *goal, uv, **environment).stdout
    return [line.removeprefix("run --no-sync --quiet ") for line in printed.splitlines()]


def test_names_of_tests_are_taken_from_the_command_line_only(
    machine: Machine, tmp_path: Path
) -> None:
    project = machine.render()

    assert commands_of(project, tmp_path, "test", T="etag") == ["pytest"]
    for names in ("etag and not stale", 'it\'s["new"] or $HOME'):
        [command] = commands_of(project, tmp_path, "test", f"T={names}")
        assert command == f"pytest -m slow or not slow -k {names}"


def test_lint_is_the_part_of_check_that_runs_no_tests(machine: Machine, tmp_path: Path) -> None:
    project = machine.render()

    lint, check = (commands_of(project, tmp_path, goal) for goal in ("lint", "check"))

    assert lint == ["ruff check", "ruff format --check", "mypy", "lint-imports"]
    assert check[: len(lint)] == lint
    assert not [command for command in check[len(lint) :] if "coverage" not in command]


def test_migration_name_is_taken_from_the_command_line_only(
    machine: Machine, tmp_path: Path
) -> None:
    project = machine.render().path
    (alembic := tmp_path / "alembic").write_text('#!/bin/sh\nshift; printf "%s|" "$@"\n')
    alembic.chmod(0o755)
    uv = pretend(
        tmp_path,
        "UV",
        f'if [ $1 = sync ]; then mkdir -p .venv; else shift 3; PATH={tmp_path}:$PATH exec "$@"; fi',
    )

    from_outside = make(project, "migration", uv, NAME="machine")
    named = make(project, "-s", "migration", uv, 'NAME=it\'s "new" for $5; exit', NAME="machine")

    assert from_outside.returncode != 0
    assert 'Name the change: make migration NAME="add notes"' in from_outside.stderr
    assert named.stdout == 'head|--autogenerate|--message=it\'s "new" for $5; exit|'


def test_unusable_python_from_the_environment_is_ignored(machine: Machine) -> None:
    project = machine.render().path

    assert make(project, "python", PYTHON="/dev/null").returncode == 0
    assert make(project, "python", "PYTHON=/dev/null").returncode != 0


@pytest.mark.parametrize(
    "name",
    [
        "PYTHONHASHSEED",
        "PYTHONINTMAXSTRDIGITS",
        "PYTHONIOENCODING",
        "PYTHONMALLOC",
        "PYTHONTRACEMALLOC",
        "PYTHONUTF8",
    ],
)
def test_variable_that_prevents_python_from_starting_is_not_inherited(
    house: Path, name: str
) -> None:
    done = make(house, "python", **{name: "garbage"})

    assert (done.returncode, done.stderr) == (0, "")


def test_terminating_make_terminates_its_command(machine: Machine, tmp_path: Path) -> None:
    project = machine.render().path
    started = tmp_path / "started"
    os.mkfifo(started)
    # Within it, `started` stays open as long as the command runs.
    uv = pretend(
        tmp_path, "UV", f"if [ $1 = sync ]; then mkdir -p .venv; else exec sleep 60 >{started}; fi"
    )
    running = subprocess.Popen(
        ["make", "run", uv], cwd=project, env=clean_environment(), stderr=subprocess.DEVNULL
    )
    with started.open() as command:
        running.terminate()
        running.wait()
        ended, _, _ = select.select([command], [], [], 5)

    assert ended


def test_failed_installation_names_variables_that_may_be_the_reason(
    machine: Machine, tmp_path: Path
) -> None:
    project = machine.render().path

    done = make(project, "test", pretend(tmp_path, "UV", "exit 1"), UV_OFFLINE="1")

    assert "Check the network connection and these variables: UV_OFFLINE.\n" in done.stderr


def test_help_lists_every_command(clone: Path) -> None:
    targets = re.findall(r"^([a-z]+):", (clone / "Makefile").read_text(), re.MULTILINE)

    listed = re.findall(r"^  make (\w+)", make(clone).stdout, re.MULTILINE)
    assert listed == [target for target in targets if target != "python"]


def test_template_and_project_makefiles_install_tools_the_same_way() -> None:
    own, projects = ((folder / "Makefile").read_text() for folder in (ROOT, PROJECT))

    for part in (r"# Unset variables that.*?\nUV := .*?\n", r"\.tools/bin/uv: \|.*"):
        [shared] = re.findall(part, projects, re.DOTALL)
        assert shared in own
