"""What the frontend says when it cannot start."""

import subprocess

import pytest

from lab.e2e.stack import COMBINATIONS, Stack
from tests.rendering import clean_environment

pytestmark = pytest.mark.parametrize(
    "stack", COMBINATIONS[:1], indirect=True, ids="-".join, scope="session"
)


def test_missing_auth_tables_are_reported_in_one_line(stack: Stack) -> None:
    nowhere = {"DATABASE_URL": "postgresql://postgres@127.0.0.1:1/postgres"}

    done = subprocess.run(
        ["npm", "run", "--silent", "dev"],
        cwd=stack.frontend,
        env=clean_environment() | nowhere,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode != 0
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("Cannot start: no server responds at DATABASE_URL. `make run`")
