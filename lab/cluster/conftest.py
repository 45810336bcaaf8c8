"""A real PostgreSQL cluster that loses its primary, and real services that write meanwhile.

The servers are those that this machine has: etcd, HAProxy and PgBouncer from Debian. Patroni comes
from PyPI, because Debian 12 has a release that loses acknowledged writes.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.cluster.deployment import Deployment, deployed, missing, rendered
from lab.cluster.patroni import Programs, embedded, install_patroni
from lab.faults.conftest import figures, pytest_terminal_summary  # noqa: F401 - fixtures
from tests.rendering import Machine, RenderedProject, shared_folder_for


@pytest.fixture(scope="session")
def shared_folder() -> Iterator[Path]:
    with shared_folder_for("cluster", missing()) as folder:
        yield folder


@pytest.fixture(scope="session")
def project(shared_folder: Path) -> RenderedProject:
    return rendered(Machine(shared_folder))


@pytest.fixture(scope="session")
def deployment(shared_folder: Path, project: RenderedProject) -> Iterator[Deployment]:
    """With the project's PostgreSQL, so that the machine does not need one of its own."""
    folder = shared_folder / "cluster"
    folder.mkdir()
    patroni = install_patroni(shared_folder / "patroni")
    with deployed(project, folder, Programs(patroni, embedded(project))) as deployment:
        yield deployment
