"""Output after rendering: colored on terminals, plain elsewhere."""

import re
import sys

import pytest

from tests.rendering import COOKIECUTTER, ROOT, Machine
from tests.terminal import Terminal

COLOR = re.compile(r"\x1b\[[0-9;]*m")


def shown(machine: Machine, **environment: str) -> str:
    """Render on a terminal and return what it shows."""
    command = [*COOKIECUTTER, str(ROOT), "--no-input"]
    terminal = Terminal(command, machine.output, machine.environment | environment)
    assert terminal.end() == 0, terminal.seen
    return terminal.seen.replace("\r\n", "\n")


def test_next_steps_are_colored_on_a_terminal_and_plain_in_a_pipe(machine: Machine) -> None:
    on_a_terminal = shown(machine, TERM="xterm", NO_COLOR="")
    piped = machine.cookiecutter("-f")

    assert "\x1b[1m    make run" in on_a_terminal
    assert COLOR.sub("", on_a_terminal) == piped.stdout
    assert "\x1b" not in piped.stdout + piped.stderr


@pytest.mark.parametrize("wish", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_color_and_dumb_terminals_get_plain_text(machine: Machine, wish: dict[str, str]) -> None:
    assert "\x1b" not in shown(machine, **{"TERM": "xterm"} | wish)


def test_project_is_kept_if_its_next_steps_cannot_be_printed(machine: Machine) -> None:
    command = f"'{sys.executable}' -m cookiecutter '{ROOT}' --no-input | true"

    done = machine.run("sh", "-c", command, env={"PYTHONUNBUFFERED": ""})

    assert done.stderr == ""
    assert (machine.output / "task-service/.env").exists()


def test_project_rendered_without_hooks_refuses_to_start_until_rendered_with_them(
    machine: Machine,
) -> None:
    project = machine.render("--accept-hooks", "no")
    start = (sys.executable, "-c", "import app")

    incomplete = machine.run(*start, cwd=project.path)
    machine.render("--overwrite-if-exists", "--accept-hooks", "yes")
    complete = machine.run(*start, cwd=project.path)

    assert incomplete.returncode == 1
    [line] = incomplete.stderr.splitlines()
    assert line.startswith("This project is incomplete: the template's hooks did not run.")
    assert complete.returncode == 0, complete.stderr
