"""The generated suite, with PgBouncer in transaction mode in front of the database."""

import subprocess
from pathlib import Path

from lab.scaling.machines import PgBouncer
from tests.rendering import RenderedProject, clean_environment

# These tests change the state of connections, which PgBouncer would give to others.
WITHOUT = (
    "tests/test_connections.py",
    "tests/test_database.py::test_read_only_connection_is_not_reused",
    "tests/test_database.py::test_writes_succeed_once_all_read_only_connections_are_replaced",
    "tests/test_pooling.py::test_statements_are_prepared_once_for_each_connection",
)


def test_generated_suite_passes_behind_pgbouncer(
    project: RenderedProject, pgbouncer: PgBouncer
) -> None:
    without = " ".join(f"--deselect={test}" for test in WITHOUT)
    environment = {
        "TEST_DATABASE_URL": pgbouncer.url,
        "PYTHONPATH": str(Path(__file__).parent),
        "PYTEST_ADDOPTS": f"-p behind_pgbouncer {without}",
    }
    done = subprocess.run(
        [project.path / ".venv/bin/python", "-m", "pytest"],
        cwd=project.path,
        env=clean_environment() | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    log = pgbouncer.log.read_text()
    assert "login attempt" in log  # the connections went through it
    assert "prepared statement" not in log
