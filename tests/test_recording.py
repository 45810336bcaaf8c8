"""The recording in the README matches current prompts and output. If not: `make recording`."""

import json
import re

import pytest

from lab.recording import ANSWERS, PICTURE, SCAFFOLD, first_task, text_of
from tests.rendering import ROOT, Machine, RenderedProject

PROMPTS = json.loads((ROOT / "cookiecutter.json").read_text())["__prompts__"]


@pytest.fixture
def project(machine: Machine) -> RenderedProject:
    return machine.render(project_name=ANSWERS[0], project_slug="shopping-list")


def squeezed(text: str) -> str:
    """Remove whitespace, since the recording breaks lines."""
    return re.sub(r"\s", "", text)


def assert_shows(*lines: str) -> None:
    """Check that the recording contains all these lines, in this order."""
    shown = squeezed(text_of(PICTURE.read_text()))
    for line in lines:
        _, found, shown = shown.partition(squeezed(line))
        assert found, f"missing or out of order in the recording: {line}"


def test_recording_shows_every_question_and_choice() -> None:
    words = [
        line
        for asked in PROMPTS.values()
        for line in (asked.values() if isinstance(asked, dict) else [asked])
    ]

    assert_shows(SCAFFOLD, *words)


def test_recording_shows_current_output_and_commands(project: RenderedProject) -> None:
    next_steps = project.printed.splitlines()
    assert next_steps[0] == "shopping-list/ is ready. Run there:"
    make_says = re.findall(r'\$\(SAY\) "(Installing .*?)"', (project.path / "Makefile").read_text())
    assert len(make_says) == 2

    assert_shows(
        *next_steps,
        "cd shopping-list && make run",
        *reversed(make_says),
        "running on http://127.0.0.1:8000",
        *first_task(project.path),
        '"title":"Buy milk","description":null,"completed":false,"version":1',
    )


def test_recording_shows_no_token_and_no_path_of_the_machine() -> None:
    shown = squeezed(text_of(PICTURE.read_text()))

    assert not re.search(r"eyJ|/tmp|/home|/root", shown)
    assert "url(http" not in PICTURE.read_text()


def test_readme_and_recording_start_with_the_same_command() -> None:
    assert f"$ {SCAFFOLD}\n" in (ROOT / "README.md").read_text()
