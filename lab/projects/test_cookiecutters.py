"""The oldest supported Cookiecutter renders the same as the newest; older ones render nothing."""

import re
from pathlib import Path

import pytest

from tests.rendering import ROOT, SECRET_FILES, Machine, RenderedProject, hook
from tests.terminal import Terminal

OLDEST = ".".join(map(str, hook("pre_gen_project").COOKIECUTTER))
TOO_OLD = ("1.7.3", "2.1.1", "2.2.3")
CHOICES = (("sqlite", "shared-secret", "nextjs"), ("postgresql", "jwks", "none"))


def cookiecutter(version: str) -> tuple[str, ...]:
    """Return the command that runs this version; uv installs it."""
    return ("uv", "tool", "run", "--quiet", "--from", f"cookiecutter=={version}.*", "cookiecutter")


@pytest.fixture
def machine(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A machine on which all tests share one uv cache."""
    cache = tmp_path_factory.getbasetemp() / "uv"
    machine.environment |= {"UV_CACHE_DIR": str(cache)}
    return machine


def contents(project: RenderedProject) -> dict[Path, tuple[int, bytes]]:
    """Return all files except those with the secret and the port, which differ in each project."""
    paths = {file: project.path / file for file in project.files if file not in SECRET_FILES}
    return {file: (path.stat().st_mode, path.read_bytes()) for file, path in paths.items()}


@pytest.mark.parametrize(("database", "token_verification", "frontend"), CHOICES)
def test_oldest_supported_cookiecutter_renders_same_project_as_newest(
    machine: Machine, database: str, token_verification: str, frontend: str
) -> None:
    answers = {
        "project_name": "名前 'x' \"y\" 🎉",
        "project_slug": "task-service",
        "database": database,
        "token_verification": token_verification,
        "frontend": frontend,
    }
    newest = contents(machine.render(**answers))
    command = (*cookiecutter(OLDEST), ROOT, "--output-dir", machine.root / "oldest")

    for rendering in (
        ["--no-input", *(f"{name}={answer}" for name, answer in answers.items())],
        ["--replay", "--overwrite-if-exists"],
    ):
        done = machine.run(*command, *rendering)

        assert done.returncode == 0, done.stderr
        assert contents(RenderedProject(machine.root / "oldest/task-service")) == newest


@pytest.mark.parametrize("version", TOO_OLD)
@pytest.mark.parametrize("given", [[], ["project_slug=task-service"]], ids=len)
def test_unsupported_cookiecutter_renders_nothing_and_says_why(
    machine: Machine, version: str, given: list[str]
) -> None:
    done = machine.run(*cookiecutter(version), ROOT, "--no-input", *given)

    assert done.returncode == 1
    assert done.stderr.startswith(
        f"Cookiecutter {version} is too old: this template needs {OLDEST} or later. Try uvx"
    )
    assert list(machine.output.iterdir()) == []


def test_cookiecutter_1_on_a_terminal_shows_that_it_is_too_old(machine: Machine) -> None:
    command = [*cookiecutter("1.7.3"), str(ROOT)]

    terminal = Terminal(command, machine.output, machine.environment)
    terminal.wait_for("project_name [Task Service]: ")
    terminal.type("Tasks")
    terminal.wait_for(f"this Cookiecutter is too old, {OLDEST} or later is needed")
    terminal.type("\x03")

    assert terminal.end() == 1
    assert list(machine.output.iterdir()) == []


def test_readme_names_oldest_supported_cookiecutter() -> None:
    readme = (ROOT / "README.md").read_text()

    assert re.findall(r"Cookiecutter is missing or older than (\d[\d.]*\d)", readme) == [OLDEST]
