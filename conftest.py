"""What all tests share, in `tests/` and in `lab/`."""

from pathlib import Path

import pytest

from tests.rendering import Machine, copy_template

pytest_plugins = ["tests.progress"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests that share servers, which are those of one folder, in one xdist worker."""
    for item in items:
        folder = item.path.parent
        if folder.name not in ("tests", "projects"):
            item.add_marker(pytest.mark.xdist_group(folder.name))
    # The longest first, or one process would run them while the other one has nothing left to do.
    items.sort(key=lambda item: item.path.name != "test_suites.py")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def template(machine: Machine) -> Path:
    """A repository of its own that holds the template, with one commit."""
    folder = machine.root / "template"
    folder.mkdir()
    copy_template(folder, ".gitattributes")
    machine.git(folder, "init --quiet", "add --all", "commit --quiet --message=old")
    return folder
