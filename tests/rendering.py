"""Render the template in tests, each in its own home and temporary folder."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = ROOT / "{{cookiecutter.project_slug}}"
TEMPLATE = ("cookiecutter.json", "hooks", "templates", PROJECT.name)
COOKIECUTTER = (sys.executable, "-m", "cookiecutter")
SECRET_FILES = (Path(".env"), Path("frontend/.env.local"))
# pre-commit's environments are built once, outside the user's home.
PRE_COMMIT_ENVIRONMENT = {
    "PRE_COMMIT_HOME": str(ROOT / ".tools/pre-commit"),
    "VIRTUALENV_OVERRIDE_APP_DATA": str(ROOT / ".tools/virtualenv"),
}

# Prefixes of variables that would affect hooks, the rendered service or its tests.
FOREIGN = (
    "BETTER_AUTH_",
    "COOKIECUTTER_",
    "CORS_",
    "DATABASE_",
    "DRAIN_",
    "GITHUB_CLIENT_",
    "GOOGLE_CLIENT_",
    "HOST",
    "JWKS_",
    "JWT_",
    "MAIL_",
    "MAKE",
    "MFLAGS",
    "NEXT_",
    "NODE_ENV",
    "OTEL_",
    "PORT",
    "PYTEST_",
    "PYTHONPATH",
    "RATE_LIMIT",
    "REQUEST_",
    "SHUTDOWN_",
    "SMTP_",
    "TEST_DATABASE_",
    "UV_PROJECT",
    "UV_RUN",
    "VIRTUAL_ENV",
    "WORKERS",
    "npm_",
)


def hook(name: str) -> ModuleType:
    """Import a hook as it is before rendering."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "hooks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def copy_template(folder: Path, *more: str) -> None:
    """Copy the files that rendering needs, and `more`. Replace existing ones."""
    for name in (*TEMPLATE, *more):
        if (ROOT / name).is_dir():
            shutil.rmtree(folder / name, ignore_errors=True)
            shutil.copytree(ROOT / name, folder / name)
        else:
            shutil.copy(ROOT / name, folder)


def cannot_run(reason: str) -> None:
    """Skip a test whose requirements are missing. In CI, fail it."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@contextmanager
def shared_folder_for(tests: str, missing: str) -> Iterator[Path]:
    """Yield a temporary folder for `tests`, and stop their servers on SIGTERM, too.

    The test cannot run if something is `missing`.
    """
    if missing:
        cannot_run(missing)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Not in pytest's folder, which other users cannot enter: root runs PostgreSQL as another user.
    with TemporaryDirectory(prefix=f"{tests}-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def clean_environment() -> dict[str, str]:
    """Return the environment for projects and hooks, with the template's own uv on the PATH.

    Otherwise each project would install its own uv, which takes four seconds.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return kept | {"PATH": os.pathsep.join((os.environ["PATH"], str(ROOT / ".tools/bin")))}


@dataclass(frozen=True)
class RenderedProject:
    path: Path
    printed: str = ""

    def run(self, command: str, **environment: str) -> str:
        """Return what the command prints. Raise AssertionError with the output if it fails."""
        done = subprocess.run(
            command,
            shell=True,
            cwd=self.path,
            env=clean_environment() | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    @property
    def files(self) -> list[Path]:
        """Return all files, relative to the project, without those of git."""
        inside = (path.relative_to(self.path) for path in self.path.rglob("*") if path.is_file())
        return sorted(path for path in inside if path.parts[0] != ".git")

    def settings(self, file: Path | str) -> dict[str, str]:
        lines = (self.path / file).read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    @property
    def secret(self) -> str:
        """Return the secret. All files that contain one must contain the same."""
        files = [file for file in SECRET_FILES if (self.path / file).exists()]
        settings = [self.settings(file) for file in files]
        [secret] = {each["BETTER_AUTH_SECRET"] for each in settings if "BETTER_AUTH_SECRET" in each}
        return secret


class Machine:
    """A separate home, temporary folder, output folder and environment."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home, self.temporary, self.output = root / "home", root / "tmp", root / "output"
        for folder in (self.home, self.temporary, self.output):
            folder.mkdir()

    @cached_property
    def environment(self) -> dict[str, str]:
        own = {"HOME": str(self.home), "TMPDIR": str(self.temporary)}
        # Otherwise git would look for a name outside this home.
        author = {"GIT_AUTHOR_NAME": "Ann", "GIT_AUTHOR_EMAIL": "ann@example.com"}
        committer = {"GIT_COMMITTER_NAME": "Ann", "GIT_COMMITTER_EMAIL": "ann@example.com"}
        return clean_environment() | own | author | committer

    def run(
        self, *command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=cwd or self.output,
            env=self.environment | dict(env or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    def git(self, folder: Path, *commands: str) -> str:
        """Run git commands that must succeed. Return what the last one prints."""
        for command in commands:
            done = self.run("git", *command.split(), cwd=folder)
            assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def cookiecutter(
        self,
        *options: str,
        template: Path | str = ROOT,
        env: Mapping[str, str] | None = None,
        **answers: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run Cookiecutter without prompts."""
        asking = () if "--replay" in options else ("--no-input",)
        given = [f"{name}={answer}" for name, answer in answers.items()]
        return self.run(*COOKIECUTTER, template, *asking, *options, *given, env=env)

    def render(
        self,
        *options: str,
        template: Path | str = ROOT,
        env: Mapping[str, str] | None = None,
        **answers: str,
    ) -> RenderedProject:
        done = self.cookiecutter(*options, template=template, env=env, **answers)
        assert done.returncode == 0, done.stderr
        slug = answers.get("project_slug", "task-service")
        return RenderedProject(self.output / slug, done.stdout + done.stderr)

    def files_holding(self, text: str) -> list[Path]:
        """Return all files under `root` that contain the text, including git objects."""
        everything = (path for path in self.root.rglob("*") if path.is_file())
        return sorted(path for path in everything if text.encode() in path.read_bytes())
