"""The generated test suite passes, with the default answers and with all others."""

import pytest

from tests.rendering import Machine


@pytest.mark.parametrize(
    "answers", [{}, {"database": "postgresql", "token_verification": "jwks", "frontend": "none"}]
)
def test_rendered_project_passes_its_own_tests(machine: Machine, answers: dict[str, str]) -> None:
    project = machine.render(**answers)

    printed = project.run("make test")

    assert " passed" in printed
    assert " skipped" not in printed
