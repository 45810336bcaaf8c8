"""Writes all changes to the files of the project, with their migration, or none."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from app.config import PROJECT
from app.errors import EXIT_UNAVAILABLE
from scripts.generator.fields import MODULES
from scripts.generator.source import GeneratorError, Source

MIGRATIONS = PROJECT / "migrations/versions"
FRONTEND = PROJECT / "frontend"
API_TYPES = FRONTEND / "lib/api-types.ts"
NPM_TIMEOUT = 120  # seconds
SIGNALS = (signal.SIGINT, signal.SIGTERM, *(filter(None, [getattr(signal, "SIGHUP", None)])))


class Project:
    def __init__(self) -> None:
        self._sources: dict[str, Source] = {}
        self._before: dict[Path, bytes | None] = {}

    def create(self, path: str, text: str) -> None:
        self._sources[path] = Source(path, text, MODULES)
        self._before[PROJECT / path] = None

    def source(self, path: str) -> Source:
        """Return a file to edit. Raises GeneratorError if it cannot be read."""
        if path not in self._sources:
            try:
                content = (PROJECT / path).read_bytes()
                self._sources[path] = Source(path, content.decode(), MODULES)
            except (OSError, UnicodeDecodeError) as error:
                raise GeneratorError(f"Cannot read {path}: {error}") from None
            self._before[PROJECT / path] = content
        return self._sources[path]

    def write(self, message: str) -> None:
        """Write all files and the migration. If that fails, restore the files as they were."""
        _alembic("upgrade", "head")
        _check_has_no_other_changes()
        known, versions = _findings(self._sources), {*MIGRATIONS.glob("*.py")}
        with self._restoring(versions):
            for path, source in self._sources.items():
                _replace(PROJECT / path, source.text.encode())
            _run(["ruff", "check", "--fix-only", "--quiet", "--select", "I,RUF022", *self._sources])
            _run(["ruff", "format", "--quiet", *self._sources])
            if new := [each for each in _findings(self._sources) if each not in known]:
                raise GeneratorError(f"Ruff rejects the new code: {new[0]}. Choose other names.")
            _alembic("revision", "--autogenerate", "--message", message)
        [migration] = {*MIGRATIONS.glob("*.py")} - versions
        for path in self._sources:
            print("edited" if self._before[PROJECT / path] else "wrote ", path)
        print("wrote ", migration.relative_to(PROJECT))
        _update_api_types()
        print(
            "Next: review the changes, then run `make check`. `make migrate` applies the migration."
        )

    @contextmanager
    def _restoring(self, versions: set[Path]) -> Iterator[None]:
        try:
            with _signals_raise():
                yield
        except BaseException:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)  # must not be interrupted
            for path, content in self._before.items():
                if content is None:
                    path.unlink(missing_ok=True)
                elif path.read_bytes() != content:
                    _replace(path, content)
            for path in {*MIGRATIONS.glob("*.py")} - versions:
                path.unlink()
            raise


@contextmanager
def _signals_raise() -> Iterator[None]:
    def end(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def _replace(path: Path, content: bytes) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    if path.exists():
        shutil.copymode(path, new)
    new.replace(path)


def _run(command: Sequence[str], text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=PROJECT, input=text, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip


def _findings(paths: Iterable[str]) -> list[str]:
    """Return the findings of `ruff check` in these files, without line numbers."""
    existing = [path for path in paths if (PROJECT / path).exists()]
    found = json.loads(_run(["ruff", "check", "--output-format", "json", *existing]).stdout)
    return [f"{Path(each['filename']).name}: {each['code']} {each['message']}" for each in found]


def _alembic(*arguments: str) -> None:
    done = _run(["alembic", *arguments])
    if done.returncode == EXIT_UNAVAILABLE:  # the reason is in a line of the log
        reason = json.loads(_last_line(done.stderr))["reason"]
        raise GeneratorError(f"The migration cannot be written without the {reason}.")
    if done.returncode:
        reason = _last_line(done.stderr) or _last_line(done.stdout)
        raise GeneratorError(f"The migration cannot be written. {reason}")


def _check_has_no_other_changes() -> None:
    done = _run(["alembic", "check"])
    if done.returncode:
        raise GeneratorError(
            "The models have changes without a migration. Write it first: "
            'make migration NAME="what changed".'
        )


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1].strip()


def _update_api_types() -> None:
    """Generate the frontend's types for the API, with the tools of its package.json."""
    if not FRONTEND.exists():
        return
    package = json.loads((FRONTEND / "package.json").read_text(encoding="utf-8"))
    generator = package["scripts"]["api-types"].rpartition("|")[2].split()
    versions = package["devDependencies"]
    needed = [f"--package={name}@{versions[name]}" for name in (generator[0], "typescript")]
    document = _run(["scripts.openapi"]).stdout
    before = API_TYPES.read_bytes()
    try:
        subprocess.run(
            [shutil.which("npm") or "npm", "exec", "--yes", *needed, "--", *generator],
            cwd=FRONTEND, input=document, capture_output=True, text=True, encoding="utf-8",
            timeout=NPM_TIMEOUT, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        _replace(API_TYPES, before)
        print("Cannot update the frontend's types. Later, run `npm run api-types` in frontend/.")
    else:
        print("edited", API_TYPES.relative_to(PROJECT))
