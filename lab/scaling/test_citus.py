r"""A project's own tests on Citus, which no package registry of the CI has.

`CITUS_URL` names an empty database of a coordinator with workers; docs/scaling.md of a project says
how to create one. Without CITUS_URL this test is skipped, also in CI:

CITUS_URL=postgresql://postgres@10.0.0.20/tests \
    .venv/bin/python -m pytest lab/scaling/test_citus.py
"""

import os
from pathlib import Path

import pytest

from tests.rendering import Machine

DISTRIBUTED = """
import asyncio, os, asyncpg

async def main():
    connection = await asyncpg.connect(os.environ["TEST_DATABASE_URL"])
    rows = await connection.fetch("SELECT logicalrelid::text FROM pg_dist_partition")
    print(*(row[0] for row in rows))

asyncio.run(main())
"""


def test_generated_suite_with_references_passes_on_citus(tmp_path: Path) -> None:
    if not (url := os.environ.get("CITUS_URL")):
        pytest.skip("set CITUS_URL to an empty database of a coordinator with workers")
    project = Machine(tmp_path).render(database="postgresql", frontend="none")
    fields = "text:str task:ref(tasks,cascade) parent:ref(comments,cascade)?"
    project.run(f'make resource NAME=comment FIELDS="{fields}"')

    printed = project.run("make check", TEST_DATABASE_URL=url)
    (project.path / "distributed.py").write_text(DISTRIBUTED)
    distributed = project.run(".venv/bin/python distributed.py", TEST_DATABASE_URL=url)

    assert " passed" in printed
    assert {"tasks", "comments"} <= {*distributed.split()}
