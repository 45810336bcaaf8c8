"""Fixtures of `tests/` and `lab/`, and the order of tests."""

from pathlib import Path

import pytest

from tests.rendering import Machine, copy_template

pytest_plugins = ["tests.progress"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run all tests of a folder in one xdist worker, since they share servers."""
    for item in items:
        folder = item.path.parent
        if folder.name not in ("tests", "projects"):
            item.add_marker(pytest.mark.xdist_group(folder.name))
    # Start the longest tests first, so that no process is idle at the end.
    items.sort(key=lambda item: item.path.name != "test_suites.py")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def template(machine: Machine) -> Path:
    """A git repository with the template, in one commit."""
    folder = machine.root / "template"
    folder.mkdir()
    copy_template(folder, ".gitattributes")
    machine.git(folder, "init --quiet", "add --all", "commit --quiet --message=old")
    return folder
