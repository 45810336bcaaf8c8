"""Render and install projects, as `cookiecutter`, `make` and `npm install` do."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

from tests.rendering import Machine, RenderedProject

NPM_INSTALL = "npm install --no-audit --no-fund --prefer-offline"


def differ(one: Path, other: Path) -> bool:
    return one.read_bytes() != other.read_bytes()


class ProjectFactory:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._numbers = count(1)
        self._installed: Path | None = None

    def render(self, **answers: str) -> RenderedProject:
        folder = self._root / str(next(self._numbers))
        folder.mkdir()
        return Machine(folder).render(**answers)

    def install(self, project: RenderedProject) -> None:
        """Install as `make` and `npm install` do; from the second project on, link packages."""
        earlier, self._installed = self._installed, project.path
        if earlier and (earlier / ".tools").exists():
            (project.path / ".tools").symlink_to(earlier / ".tools")
        with ThreadPoolExecutor() as pool:
            service = pool.submit(project.run, "make .venv/ready")
            self._install_frontend(project.path / "frontend", earlier and earlier / "frontend")
            service.result()

    def _install_frontend(self, frontend: Path, earlier: Path | None) -> None:
        # Half a gigabyte in 16,000 files, which take half a minute.
        if earlier:
            shutil.copytree(
                earlier / "node_modules",
                frontend / "node_modules",
                symlinks=True,
                copy_function=os.link,
            )
        if not earlier or differ(earlier / "package.json", frontend / "package.json"):
            # Many machines set NODE_ENV. The development dependencies must be installed anyway.
            RenderedProject(frontend).run(NPM_INSTALL, NODE_ENV="production")

    def install_packages(self, name: str, *packages: str) -> RenderedProject:
        """Create a folder of this name, and install packages from npm there."""
        folder = RenderedProject(self._root / name)
        folder.path.mkdir()
        folder.run(f"{NPM_INSTALL} {' '.join(packages)}")
        return folder

    def axe(self) -> str:
        """Return the script of axe, which finds accessibility problems."""
        folder = self.install_packages("axe", "axe-core@~4.11")
        return (folder.path / "node_modules/axe-core/axe.min.js").read_text()
