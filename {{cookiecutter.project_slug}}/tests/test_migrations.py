"""Migrations create exactly the tables of the models, and fail with one line if they cannot run."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import alembic.op
import pytest
from alembic.script import Script, ScriptDirectory
from sqlalchemy import inspect, text

import app.models
from app.config import PROJECT
from app.models import Base
from migrations.checksums import checksum
from tests.database import MARK
from tests.engines import engine_for

OWN_TABLES = {"alembic_version", "alembic_checksums", *Base.metadata.tables}


def test_every_model_is_known_to_migrations_and_account_deletion() -> None:
    models = {mapper.class_.__name__ for mapper in Base.registry.mappers}

    assert {*app.models.__all__, "IdempotencyKey"} == {"Base", *models}


@pytest.mark.usefixtures("service")
def test_models_and_migrations_agree(alembic_config: alembic.config.Config) -> None:
    alembic.command.check(alembic_config)


@pytest.mark.usefixtures("service")
def test_each_migration_upgrades_downgrades_and_upgrades_again(
    alembic_config: alembic.config.Config, database_url: str
) -> None:
    alembic.command.downgrade(alembic_config, "base")
    after_downgrade = asyncio.run(_tables(database_url))
    for script in reversed(list(ScriptDirectory.from_config(alembic_config).walk_revisions())):
        alembic.command.upgrade(alembic_config, script.revision)
        alembic.command.downgrade(alembic_config, "-1")
        alembic.command.upgrade(alembic_config, script.revision)

    assert after_downgrade == {"alembic_version", "alembic_checksums"}
    assert asyncio.run(_tables(database_url)) == OWN_TABLES


def test_migration_message_with_quotes_and_backslashes_gives_valid_python(tmp_path: Path) -> None:
    config = alembic.config.Config(toml_file=PROJECT / "pyproject.toml")
    folders = (str(PROJECT / "migrations/versions"), str(tmp_path))
    config.set_main_option("version_locations", "\n".join(folders).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")

    message = 'Ann\'s """Größe""" \\d "'
    made = alembic.command.revision(config, message, version_path=folders[1])

    assert isinstance(made, Script)
    assert made.doc == "Ann's '''Größe''' /d '"


class Interrupted(BaseException):
    """Stands for anything that interrupts a migration halfway."""


@pytest.mark.usefixtures("service")
def test_interrupted_migration_is_rolled_back(
    alembic_config: alembic.config.Config, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alembic.command.downgrade(alembic_config, "base")
    create_table = alembic.op.create_table

    def create_half(*arguments: Any, **options: Any) -> None:
        create_table(*arguments, **options)
        raise Interrupted

    monkeypatch.setattr("alembic.op.create_table", create_half)
    with pytest.raises(Interrupted):
        alembic.command.upgrade(alembic_config, "head")
    monkeypatch.undo()
    interrupted = asyncio.run(_tables(database_url))
    alembic.command.upgrade(alembic_config, "head")

    assert interrupted == {"alembic_version", "alembic_checksums"}
    assert asyncio.run(_tables(database_url)) == OWN_TABLES


MIGRATION = """from alembic import op

revision = {revision!r}
down_revision = {down_revision!r}


def upgrade() -> None:
    {upgrade}


def downgrade() -> None:
    {downgrade}
"""


class Versions:
    """A copy of the project's migrations, which a test can extend and run."""

    def __init__(self, folder: Path) -> None:
        shutil.copytree(PROJECT / "migrations/versions", folder)
        self.folder = folder
        self.config = alembic.config.Config(toml_file=PROJECT / "pyproject.toml")
        self.config.set_main_option("version_locations", str(folder).replace("%", "%%"))
        self.config.set_main_option("path_separator", "newline")
        self.head = ScriptDirectory.from_config(self.config).get_current_head()

    def add(
        self,
        revision: str,
        after: str | None = None,
        upgrade: str = "pass",
        downgrade: str = "pass",
    ) -> Path:
        """Write a migration that follows `after`, by default the newest one of the project."""
        values = {"revision": revision, "down_revision": after or self.head}
        text = MIGRATION.format(**values, upgrade=upgrade, downgrade=downgrade)
        (file := self.folder / f"{revision}.py").write_text(text, encoding="utf-8")
        return file

    def upgrade(self) -> None:
        alembic.command.upgrade(self.config, "head")

    def error_line(
        self, command: Callable[..., Any] = alembic.command.upgrade, *options: Any
    ) -> str:
        """Run a command that must fail with a single line, and return it."""
        if command is alembic.command.upgrade:
            options = ("head",)
        with pytest.raises(SystemExit) as ended:
            command(self.config, *options)
        line = str(ended.value)
        assert line.startswith("Cannot migrate: ")
        assert len(line.splitlines()) == 1
        return line.removeprefix("Cannot migrate: ").replace(f"{self.folder}/", "")


@pytest.fixture
def versions(
    service: str,  # noqa: ARG001 - migrates the database
    alembic_config: alembic.config.Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Versions]:
    # Without bytecode, which would be reused for another file of the same name, size and second.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield Versions(tmp_path / "versions")
    alembic.command.stamp(alembic_config, "head", purge=True)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        (b"def upgrade(:", r"a\.py, line 1 cannot be loaded: invalid syntax\. Correct it.*"),
        (b"\nimport a.b.c", r"a\.py, line 2 cannot be loaded: ModuleNotFoundError: No module .*"),
        (b"x = '\xe4'", r"a\.py, line 1 cannot be loaded: .*utf-8.*"),
        (b"\0", r"a\.py.* cannot be loaded: .*null bytes.*"),
        (b"import sys; sys.exit()", r"a\.py, line 1 cannot be loaded: SystemExit\. .*"),
        (
            b"revision = 'a b'",
            r"a\.py is not a migration: it has no down_revision and no upgrade.*",
        ),
        (None, r"a\.py cannot be loaded: IsADirectoryError: .*"),
    ],
    ids=["syntax", "import", "bytes", "null", "exit", "no migration", "folder"],
)
def test_broken_migration_file_is_named_in_one_line(
    versions: Versions, file: bytes | None, line: str
) -> None:
    path = versions.folder / "a.py"
    path.mkdir() if file is None else path.write_bytes(file)

    error_line = versions.error_line()
    path.rmdir() if file is None else path.unlink()

    assert re.fullmatch(line, error_line)


def test_invalid_history_is_rejected_in_one_line(
    versions: Versions,
) -> None:
    histories: dict[str, list[tuple[str, str | None]]] = {
        "two heads": [("a", versions.head), ("b", versions.head)],
        "missing": [("a", "lost")],
        "cycle": [("a", "b"), ("b", "a")],
    }
    errors = {}
    for name, added in histories.items():
        files = [versions.add(revision, after) for revision, after in added]
        errors[name] = versions.error_line()
        for file in files:
            file.unlink()
    first = next(versions.folder.glob("*.py"))
    (copy := versions.folder / "copy.py").write_bytes(first.read_bytes())
    errors["twice"] = versions.error_line()
    copy.write_text(MIGRATION.format(revision="a", down_revision=None, upgrade="", downgrade=""))
    copy.write_text(copy.read_text().replace("    \n", "    pass\n"))
    errors["two first"] = versions.error_line()

    assert errors["two heads"].startswith("a.py and b.py are both the newest migration. ")
    assert errors["missing"].startswith("a.py: down_revision is 'lost', but no file ")
    assert errors["cycle"].startswith("a.py and b.py follow each other in a circle")
    assert re.match(r".*\.py and copy\.py have the same revision, ", errors["twice"])
    assert re.match(r".*\.py and copy\.py have no down_revision", errors["two first"])


@pytest.mark.parametrize(
    ("fails", "reason"),
    [
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("op.execute('SELECT nothing')", r".*nothing.* \(statement: SELECT nothing\)"),
    ],
)
def test_failing_migration_is_named_in_one_line_and_changes_nothing(
    versions: Versions, database_url: str, fails: str, reason: str
) -> None:
    before = _revisions(database_url)
    versions.add("works", upgrade="op.execute('CREATE TABLE works (id INTEGER)')")
    file = versions.add("fails", "works", upgrade=fails)

    error_line = versions.error_line()

    assert re.fullmatch(rf"{file.name}, line 8: {reason}\. Correct .*", error_line)
    assert asyncio.run(_tables(database_url)) == OWN_TABLES
    assert _revisions(database_url) == before


def test_migration_edited_after_it_ran_is_rejected_until_it_is_stamped(
    versions: Versions, database_url: str
) -> None:
    file = versions.add("a", upgrade="value = 1")
    versions.add("b", "a")
    versions.upgrade()
    text = file.read_text()
    file.write_text(f'"""Another layout."""\nimport re  # unused\n\n{text.replace("= 1", "= (1)")}')
    versions.upgrade()  # a change of layout is not an edit

    file.write_text(text.replace("value = 1", "value = 2"))
    versions.add("c", "b")
    errors = {
        versions.error_line(),
        versions.error_line(alembic.command.revision, "name", True),
        versions.error_line(alembic.command.check),
    }
    kept = _revisions(database_url)
    alembic.command.stamp(versions.config, "b", purge=True)
    versions.upgrade()
    accepted = _revisions(database_url)

    [error_line] = errors
    assert error_line.startswith("a.py was edited after it ran on this database. ")
    assert f"`alembic downgrade {versions.head}`" in error_line
    assert error_line.endswith("alembic stamp --purge b")
    assert kept == {"b"}
    assert accepted == {"c"}


def test_checksum_is_the_same_in_every_version_of_python(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    code = """def upgrade():
    value = f"{1:>{2}}" + 'é' if [None, ...] else {**{}, "a": -1.5e300, "b": lambda x, /: [x, ""]}
"""
    file.write_text(code, encoding="utf-8")
    one = checksum(str(file))
    file.write_text(code.replace(', ""', ""), encoding="utf-8")

    assert one.startswith("a6d73166")
    assert checksum(str(file)) != one


def test_edited_migration_can_be_downgraded(versions: Versions, database_url: str) -> None:
    file = versions.add("a", upgrade="value = 1")
    versions.upgrade()
    file.write_text(file.read_text().replace("value = 1", "value = 2"))

    alembic.command.downgrade(versions.config, str(versions.head))
    versions.upgrade()

    assert _revisions(database_url) == {"a"}


def test_migration_inserted_before_one_that_ran_is_rejected(versions: Versions) -> None:
    versions.add("a")
    versions.upgrade()

    versions.add("late")
    versions.add("a", "late")

    assert versions.error_line().startswith("late.py has not run on this database, but ")


def test_edits_made_before_checksums_were_recorded_are_not_noticed(
    versions: Versions, database_url: str
) -> None:
    file = versions.add("a")
    versions.upgrade()
    asyncio.run(_execute(database_url, "DROP TABLE alembic_checksums"))
    file.write_text(file.read_text().replace("pass", "value = 1"))

    versions.upgrade()
    tables = asyncio.run(_tables(database_url))
    versions.add("b", "a")
    versions.upgrade()
    file.write_text(file.read_text().replace("value = 1", "value = 2"))

    assert tables == OWN_TABLES - {"alembic_checksums"}
    assert versions.error_line().startswith("a.py was edited")


def test_autogenerate_fails_unless_the_database_is_at_the_newest_revision(
    versions: Versions,
) -> None:
    versions.add("a")

    error_line = versions.error_line(alembic.command.revision, "name", True)

    assert error_line.startswith("the database is not at the newest revision")


TABLE = next(iter(Base.metadata.tables))
EXISTS = rf".*{TABLE}.* already exists \(statement: CREATE TABLE {TABLE} \(.*\)\. Correct the .*"


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize(
    ("change", "undo", "reason"),
    [
        (f"CREATE TABLE {TABLE} (other INTEGER)", f"DROP TABLE {TABLE}", EXISTS),
        (f"CREATE VIEW {TABLE} AS SELECT 1 AS other", f"DROP VIEW {TABLE}", EXISTS),
        (
            "ALTER TABLE alembic_version RENAME COLUMN version_num TO other",
            "ALTER TABLE alembic_version RENAME COLUMN other TO version_num",
            r".*column.*alembic_version.* \(statement: SELECT .*\)\. Correct the .*",
        ),
        (
            "INSERT INTO alembic_version VALUES ('later')",
            "DELETE FROM alembic_version",
            r"the database is at revision later, which no file .* has\. Use the version .*",
        ),
    ],
    ids=["other table", "view", "other columns", "unknown revision"],
)
def test_migration_rejected_by_the_database_fails_with_one_line_and_changes_nothing(
    alembic_config: alembic.config.Config, database_url: str, change: str, undo: str, reason: str
) -> None:
    alembic.command.downgrade(alembic_config, "base")
    asyncio.run(_execute(database_url, change))
    before = asyncio.run(_tables(database_url))
    try:
        with pytest.raises(SystemExit) as ended:
            alembic.command.upgrade(alembic_config, "head")
        after = asyncio.run(_tables(database_url))
    finally:
        asyncio.run(_execute(database_url, undo))
        alembic.command.upgrade(alembic_config, "head")

    assert re.fullmatch(f"Cannot migrate: {reason}", str(ended.value))
    assert after == before


@pytest.mark.slow
@pytest.mark.usefixtures("service")
def test_concurrent_upgrades_apply_each_migration_once(
    alembic_config: alembic.config.Config, database_url: str
) -> None:
    alembic.command.downgrade(alembic_config, "base")

    migrating = [
        subprocess.Popen(
            [sys.executable, "-m", "alembic", "upgrade", "head"],
            env=os.environ | {"DATABASE_URL": database_url},
            cwd=PROJECT, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    printed = [process.communicate(timeout=60)[1] for process in migrating]

    assert [process.returncode for process in migrating] == [0, 0, 0]
    revisions = list(ScriptDirectory.from_config(alembic_config).walk_revisions())
    assert "".join(printed).count("migrated to") == len(revisions)
    assert asyncio.run(_tables(database_url)) == OWN_TABLES


async def _execute(database_url: str, statement: str) -> None:
    engine = engine_for(database_url)
    async with engine.begin() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


def _revisions(database_url: str) -> set[str]:
    """Return the current revisions of the database."""

    async def read() -> set[str]:
        engine = engine_for(database_url)
        async with engine.connect() as connection:
            found = await connection.execute(text("SELECT version_num FROM alembic_version"))
        await engine.dispose()
        return set(found.scalars())

    return asyncio.run(read())


async def _tables(database_url: str) -> set[str]:
    engine = engine_for(database_url)
    async with engine.connect() as connection:
        tables = await connection.run_sync(lambda sync: set(inspect(sync).get_table_names()))
    await engine.dispose()
    return tables - {MARK}
