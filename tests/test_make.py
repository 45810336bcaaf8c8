"""The template's own commands, in a fresh copy of it, and what projects' share with them."""

import re
import subprocess
from pathlib import Path

import pytest
from conftest import Machine, clean_environment, copy_template


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "with spaces"
    folder.mkdir()
    copy_template(folder, "Makefile", "pyproject.toml")
    return folder


def make(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments], cwd=clone, env=clean_environment(), capture_output=True, text=True
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
    """A folder with commands of its own: the template, or a project."""
    if request.param == "template":
        return request.getfixturevalue("clone")
    return request.getfixturevalue("machine").render().path


def pretend(folder: Path, name: str, lines: str) -> str:
    """A program of this name that does these lines, as a setting for make."""
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
            [INSTALLING, "Python's venv module does not work here: is python3-venv installed?"],
        ),
        (
            WITHOUT_NETWORK,
            None,
            [INSTALLING, "uv could not be installed: is there a network?"],
        ),
    ],
    ids=["no Python", "old Python", "no venv", "no network"],
)
def test_says_in_a_line_what_a_machine_lacks(
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


def test_says_what_it_does_until_the_network_is_away(house: Path, tmp_path: Path) -> None:
    done = make(house, "test", pretend(tmp_path, "UV", "echo The reason >&2; exit 1"))

    doing, reason, advice, _ = done.stderr.splitlines()
    assert re.fullmatch(r"Installing .* into \.venv \(may take a minute\)", doing)
    assert reason == "The reason"
    assert re.fullmatch(r"The \w+ could not be installed: is there a network\?", advice)


def test_a_token_is_printed_alone_though_much_was_installed_for_it(
    machine: Machine, tmp_path: Path
) -> None:
    project = machine.render()
    uv = pretend(tmp_path, "UV", "if [ $1 = sync ]; then mkdir .venv; else echo token; fi")

    done = make(project.path, "-s", "token", uv)

    assert done.stdout == "token\n"
    assert done.stderr == "Installing dependencies into .venv (may take a minute)\n"


def test_help_lists_every_command(clone: Path) -> None:
    targets = re.findall(r"^([a-z]+):", (clone / "Makefile").read_text(), re.MULTILINE)

    listed = re.findall(r"^  make (\w+)", make(clone).stdout, re.MULTILINE)
    assert listed == [target for target in targets if target != "python"]
