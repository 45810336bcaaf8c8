"""A project's commands work for any user and leave the machine unchanged."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lab.servers import Server, answers, free_ports
from tests.rendering import Machine, clean_environment

# Variables that other tools set, and a locale that is not installed.
SURROUNDINGS = {
    "PATH": "/usr/bin:/bin:/usr/local/bin",
    "LANG": "xx_XX.UTF-8",
    "LC_ALL": "xx_XX.UTF-8",
    "HOST": "x86_64-conda-linux-gnu",
    "NAME": "laptop",
    "NODE_ENV": "production",
    "UV_PROJECT_ENVIRONMENT": "/nonexistent/environment",
    "VIRTUAL_ENV": "/nonexistent/environment",
    "PGHOST": "192.0.2.1",
    "PGSSLMODE": "verify-full",
}
# Root can run the commands as either user.
USERS = ("root", "nobody") if os.geteuid() == 0 else (None,)

# Together on one process: one of these tests kills what another one counts.
pytestmark = pytest.mark.xdist_group("machine")


@dataclass(frozen=True)
class Newcomer:
    """A user with an empty home and temporary folder, and a project that others cannot reach."""

    name: str | None
    root: Path
    project: Path

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def temporary(self) -> Path:
        return self.root / "tmp"

    @property
    def environment(self) -> dict[str, str]:
        own = {"HOME": str(self.home), "TMPDIR": str(self.temporary)}
        return clean_environment() | SURROUNDINGS | own

    def run(self, command: str, environment: Mapping[str, str] | None = None) -> str:
        done = subprocess.run(
            command.split(),
            cwd=self.project,
            env=self.environment | dict(environment or {}),
            user=self.name,
            group=self._group,
            extra_groups=None if self.name is None else [],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    @property
    def _group(self) -> int | None:
        return None if self.name is None else self.root.stat().st_gid

    def processes(self) -> list[str]:
        """Return the command lines of processes that run in the project's folder or name it."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                command = (process / "cmdline").read_text(errors="replace").replace("\0", " ")
                place = os.readlink(process / "cwd")
                if str(self.root) in command or place.startswith(str(self.root)):
                    found.append(command)
        return found

    def machine(self) -> dict[str, object]:
        """Return the state of the machine that the project's commands must not change."""
        above = [*self.project.parents]
        abandoned = [
            path.name
            for path in Path("/tmp").glob("postgres-*")
            if not Path("/proc", path.name.split("-")[1]).exists()
        ]
        return {
            "users": Path("/etc/passwd").read_text() + Path("/etc/group").read_text(),
            "folders above": [(each.stat().st_mode, each.stat().st_uid) for each in above],
            "processes": self.processes(),
            # uv keeps a lock file there for each project.
            "temporary folder": sorted(
                path.name for path in self.temporary.iterdir() if not path.match("uv-*.lock")
            ),
            "abandoned copies": abandoned,
            "home": sorted({path.name for path in self.home.iterdir()} - {".cache", ".local"}),
        }


@pytest.fixture(params=USERS)
def newcomer(request: pytest.FixtureRequest, database: str) -> Iterator[Newcomer]:
    with TemporaryDirectory(prefix="newcomer-") as folder:
        root = Path(folder)
        project = Machine(root).render(database=database, frontend="none")
        if request.param:
            for path in (root, *root.rglob("*")):
                if not path.is_symlink():
                    shutil.chown(path, request.param, "nogroup" if request.param != "root" else 0)
        yield Newcomer(request.param, root, project.path)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_commands_work_for_any_user_and_leave_the_machine_unchanged(newcomer: Newcomer) -> None:
    before = newcomer.machine()
    [port] = free_ports(1)
    server = Server(
        f"make run PORT={port}",
        newcomer.project,
        lambda: answers(f"http://127.0.0.1:{port}/health/ready"),
        environment=newcomer.environment,
        user=newcomer.name,
        log=newcomer.root / "run.log",
    )

    tested = newcomer.run("make test", {"PYTEST_ADDOPTS": "-k test_tasks"})
    server.start()
    token = newcomer.run("make --silent token")
    newcomer.run(f"make doctor TOKEN={token}")
    server.stop()

    assert " passed" in tested
    assert newcomer.machine() == before
