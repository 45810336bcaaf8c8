"""The four main combinations: each passes its own `make check`."""

from itertools import product

import pytest
from conftest import Machine


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
    assert " skipped" not in printed
