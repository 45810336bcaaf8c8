"""Tables come to be by migrations alone, and are what the models say."""

import asyncio
import os
import re
import subprocess
import sys
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
from tests.engines import engine_for

OWN_TABLES = {"alembic_version", "alembic_checksums", *Base.metadata.tables}


def test_migrations_and_account_deletion_know_every_model() -> None:
    models = {mapper.class_.__name__ for mapper in Base.registry.mappers}

    assert {*app.models.__all__} == {"Base", *models}


@pytest.mark.usefixtures("service")
def test_models_and_migrations_agree(alembic_config: alembic.config.Config) -> None:
    alembic.command.check(alembic_config)


@pytest.mark.usefixtures("service")
def test_each_migration_goes_up_down_and_up_again(
    alembic_config: alembic.config.Config, database_url: str
) -> None:
    alembic.command.downgrade(alembic_config, "base")
    without = asyncio.run(_tables(database_url))
    for script in reversed(list(ScriptDirectory.from_config(alembic_config).walk_revisions())):
        alembic.command.upgrade(alembic_config, script.revision)
        alembic.command.downgrade(alembic_config, "-1")
        alembic.command.upgrade(alembic_config, script.revision)

    assert without == {"alembic_version", "alembic_checksums"}
    assert asyncio.run(_tables(database_url)) == OWN_TABLES


def test_migration_message_with_quotes_and_backslashes_gives_valid_python(tmp_path: Path) -> None:
    config = alembic.config.Config(toml_file=PROJECT / "pyproject.toml")
    places = (str(PROJECT / "migrations/versions"), str(tmp_path))
    config.set_main_option("version_locations", "\n".join(places).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")

    message = 'Ann\'s """Größe""" \\d "'
    made = alembic.command.revision(config, message, version_path=places[1])

    assert isinstance(made, Script)
    assert made.doc == "Ann's '''Größe''' /d '"


class Interrupted(BaseException):
    """Something that ends a migration half-way."""


@pytest.mark.usefixtures("service")
def test_a_migration_that_was_interrupted_has_not_happened(
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
def test_migration_that_the_database_refuses_ends_with_one_line_and_changes_nothing(
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
def test_several_that_migrate_at_once_do_it_once(
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


async def _tables(database_url: str) -> set[str]:
    engine = engine_for(database_url)
    async with engine.connect() as connection:
        tables = await connection.run_sync(lambda sync: set(inspect(sync).get_table_names()))
    await engine.dispose()
    return tables
