"""The generated tests pass in a project of the default answers and in its opposite."""

import pytest
from conftest import Machine


@pytest.mark.parametrize(
    "answers", [{}, {"database": "postgresql", "token_verification": "jwks", "frontend": "none"}]
)
def test_generated_tests_pass(machine: Machine, answers: dict[str, str]) -> None:
    project = machine.render(**answers)

    printed = project.run("make test")

    assert " passed" in printed
    assert " skipped" not in printed
