"""The four main combinations: each passes its own `make check`."""

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from conftest import Machine


@pytest.fixture
def machine() -> Iterator[Machine]:
    # Not in pytest's folder, which each pytest that starts, a project's own among them, closes to
    # all but its user: the PostgreSQL of a project that root tests runs as another.
    with TemporaryDirectory(prefix="rendered-") as root:
        yield Machine(Path(root))


@pytest.mark.parametrize(
    ("database", "token_verification"),
    [*product(("sqlite", "postgresql"), ("shared-secret", "jwks"))],
)
def test_a_rendered_project_passes_its_own_checks(
    machine: Machine, database: str, token_verification: str
) -> None:
    project = machine.render(database=database, token_verification=token_verification)

    printed = project.run("make check")

    assert " passed" in printed
    assert not re.search(r"\d skipped", printed)
