"""The migrations in versions/, checked before any of them runs."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import cast

from alembic.script import Script
from alembic.script.revision import CycleDetected, RevisionError, RevisionMap
from alembic.util import load_python_file

from migrations.errors import MigrationError, load_error, one_line, relative


class History:
    """All migrations, in the order in which they follow each other."""

    def __init__(self, folder: Path) -> None:
        """Load all migrations of the folder.

        Raises MigrationError for a file that cannot be loaded or is not a migration, a duplicate
        or missing revision, a cycle, and two migrations without a `down_revision`.
        """
        self._scripts: dict[str, Script] = {}
        for file in sorted(folder.glob("*.py")):
            if not file.name.startswith((".#", "__init__")):  # Alembic skips these, too
                self._add(_load(file))
        self._check_references()
        self._revisions = RevisionMap(self._scripts.values)
        try:
            self.heads = self._revisions.heads
        except CycleDetected as error:
            raise MigrationError(
                f"{self._files(error.revisions)} follow each other in a circle, or follow such "
                "migrations. Correct their down_revision."
            ) from None
        except RevisionError as error:
            raise MigrationError(f"{one_line(error)}. Correct the migrations.") from None
        if len(first := self._revisions.bases) > 1:
            raise MigrationError(
                f"{self._files(first)} have no down_revision, so each would be the first "
                "migration. Set it in all but one."
            )

    def __contains__(self, revision: str) -> bool:
        return revision in self._scripts

    def check_is_linear(self) -> None:
        """Raise MigrationError if two migrations follow the same one."""
        if len(self.heads) > 1:
            raise MigrationError(
                f"{self._files(self.heads)} are both the newest migration. In the one that is not "
                "released yet, set down_revision to the revision of the other. If both are "
                "released, run: alembic merge heads --message=merge"
            )

    def up_to(self, heads: Collection[str]) -> list[Script]:
        """Return the migrations up to these revisions, oldest first."""
        found = self._revisions.iterate_revisions(tuple(heads), "base", inclusive=True)
        return cast(list[Script], list(found))[::-1]

    def _add(self, script: Script) -> None:
        if other := self._scripts.get(script.revision):
            raise MigrationError(
                f"{relative(other.path)} and {relative(script.path)} have the same revision, "
                f"{script.revision}. Change it in the file that has not run yet, or remove that "
                "file."
            )
        self._scripts[script.revision] = script

    def _check_references(self) -> None:
        labels = (label for script in self._scripts.values() for label in script.branch_labels)
        known = {*self._scripts, *labels}
        for script in self._scripts.values():
            for name in ("down_revision", "depends_on"):
                for revision in _as_list(getattr(script.module, name, None)):
                    if revision not in known:
                        raise MigrationError(
                            f"{relative(script.path)}: {name} is {revision!r}, but no file in "
                            "migrations/versions has that revision. Restore that file, or set "
                            f"{name} to the previous revision."
                        )

    def _files(self, revisions: Iterable[str]) -> str:
        *files, last = sorted(relative(self._scripts[revision].path) for revision in revisions)
        return f"{', '.join(files)} and {last}" if files else last


def _load(file: Path) -> Script:
    try:
        module = load_python_file(file.parent, file.name)
        missing = [
            name for name in ("revision", "down_revision", "upgrade") if not hasattr(module, name)
        ]
        if not missing:
            return Script(module, module.revision, file)
    except (Exception, SystemExit) as error:
        raise MigrationError(load_error(error, file)) from None
    raise MigrationError(
        f"{relative(file)} is not a migration: it has no {' and no '.join(missing)}. Correct it, "
        "or move it to another folder."
    )


def _as_list(value: str | Iterable[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())
