"""Parse Dockerfiles, and build images from them without a container engine."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from itertools import product
from pathlib import Path

from tests.rendering import clean_environment


class Dockerfile:
    def __init__(self, path: Path) -> None:
        text = re.sub(r"(?m)^#.*\n", "", path.read_text())
        lines = re.sub(r"\\\n\s*", "", text).splitlines()
        self.path = path
        self.instructions = [line.split(maxsplit=1) for line in lines if line]

    def all(self, instruction: str) -> list[str]:
        return [rest for name, rest in self.instructions if name == instruction]

    def last(self, instruction: str) -> str:
        """Return the value in the last stage, from which the image is made."""
        return self.all(instruction)[-1]

    @property
    def variables(self) -> dict[str, str]:
        words = [word for line in self.all("ENV") for word in shlex.split(line)]
        return dict(word.split("=", 1) for word in words)

    @property
    def command(self) -> list[str]:
        return json.loads(self.last("CMD"))

    @property
    def health_check(self) -> list[str]:
        return json.loads(self.last("HEALTHCHECK").partition("CMD ")[2])


def sent_to_builder(folder: Path, context: Path) -> Path:
    """Copy the folder without what `.dockerignore` excludes. The last matching rule wins."""
    lines = (folder / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]

    def fits(path: Path, pattern: str) -> bool:
        if pattern.startswith("**/"):
            return fnmatch(path.name, pattern.removeprefix("**/"))
        return fnmatch(str(path), pattern)

    def ignored(within: str, names: list[str]) -> list[str]:
        verdicts = dict.fromkeys(names, False)
        for name, rule in product(names, rules):
            path = (Path(within) / name).relative_to(folder)
            if any(fits(each, rule.removeprefix("!")) for each in (path, *path.parents)):
                verdicts[name] = not rule.startswith("!")
        return [name for name, verdict in verdicts.items() if verdict]

    shutil.copytree(folder, context, ignore=ignored, symlinks=True)
    return context


class HandmadeImage:
    """Build a folder's Dockerfile into a folder that stands for `/`."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self._scratch, self.root = scratch, scratch / "root"
        self._context = sent_to_builder(folder, scratch / "context")
        self.dockerfile = Dockerfile(folder / "Dockerfile")
        for name, rest in self.dockerfile.instructions:
            follow = getattr(self, f"_{name.lower()}", None)
            if follow:
                follow(self._inside(rest))

    def _inside(self, text: str) -> str:
        return re.sub(r"(?<![\w.])/(?=(app|data)\b)", f"{self.root}/", text)

    def _from(self, rest: str) -> None:
        if self.root.exists():
            self.root.rename(self._scratch / self._stage)
        self.root.mkdir()
        self._folder = self.root
        self._stage = rest.partition(" AS ")[2]
        # Stands for the base image, in each stage: a Python with pip only.
        python, base = self._scratch / "python", self._scratch / "base"
        if not base.exists():
            subprocess.run([sys.executable, "-m", "venv", python], check=True)
            python.rename(base)
        shutil.rmtree(python, ignore_errors=True)
        shutil.copytree(base, python, symlinks=True)
        self._environment = {"PATH": f"{python}/bin:/usr/bin:/bin"}

    def _workdir(self, rest: str) -> None:
        self._folder = Path(rest)
        self._folder.mkdir(parents=True, exist_ok=True)

    def _env(self, rest: str) -> None:
        for word in shlex.split(rest):
            name, value = word.split("=", 1)
            self._environment[name] = value.replace("$PATH", self._environment["PATH"])

    def _copy(self, rest: str) -> None:
        *patterns, target = rest.split()
        base = self._context
        if patterns[0].startswith("--from="):
            # That stage has been moved.
            base = self._scratch / patterns.pop(0).removeprefix("--from=")
            patterns = [pattern.replace(str(self.root), ".") for pattern in patterns]
        for source in (path for pattern in patterns for path in base.glob(pattern)):
            if source.is_dir():
                shutil.copytree(source, self._folder / target, symlinks=True)
            else:
                shutil.copy2(source, self._folder / target)

    def _run(self, rest: str) -> None:
        if "apt-get" in rest:  # Tests install nothing on the machine where they run.
            return
        if os.geteuid() != 0:  # Only root can change owners.
            rest = re.sub(r"--(owner|group)=\d+", "", rest)
        # The environment configures package indexes.
        self._check(["sh", "-c", rest], clean_environment() | self._environment)

    def _check(self, command: list[str], environment: dict[str, str]) -> None:
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"

    def files(self) -> set[str]:
        """Return all files except those in the volume."""
        found = (path.relative_to(self.root) for path in self.root.rglob("*") if path.is_file())
        return {str(path) for path in found if path.parts[0] != "data"}

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        """Start the image's command with its variables and these ones."""
        self._environment |= environment
        with (self._scratch / "log").open("wb") as log:
            return subprocess.Popen(
                self.dockerfile.command, cwd=self._folder, env=self._environment, stderr=log
            )

    def check_health(self) -> None:
        """Raise AssertionError if the health check of the image fails."""
        self._check(self.dockerfile.health_check, self._environment)

    def logs(self) -> str:
        return (self._scratch / "log").read_text()
