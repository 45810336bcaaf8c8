"""A real PostgreSQL cluster that loses its primary, and real services that write meanwhile.

The servers are those that this machine has: etcd, HAProxy and PgBouncer from Debian. Patroni comes
from PyPI, because Debian 12 has a release that loses acknowledged writes.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.cluster.patroni import Programs, embedded, install_patroni
from lab.cluster.stage import Stage, missing, rendered, staged
from lab.faults.conftest import figures, pytest_terminal_summary  # noqa: F401 - fixtures
from tests.rendering import Machine, RenderedProject, workshop_for


@pytest.fixture(scope="session")
def workshop() -> Iterator[Path]:
    with workshop_for("cluster", missing()) as folder:
        yield folder


@pytest.fixture(scope="session")
def project(workshop: Path) -> RenderedProject:
    return rendered(Machine(workshop))


@pytest.fixture(scope="session")
def stage(workshop: Path, project: RenderedProject) -> Iterator[Stage]:
    """With the project's PostgreSQL, so that the machine does not need one of its own."""
    folder = workshop / "cluster"
    folder.mkdir()
    patroni = install_patroni(workshop / "patroni")
    with staged(project, folder, Programs(patroni, embedded(project))) as stage:
        yield stage
