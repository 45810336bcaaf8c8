"""`alembic revision --autogenerate` compares only own tables, and writes valid files."""

import asyncio
from io import StringIO
from pathlib import Path

import alembic.command
import alembic.config
import pytest
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Column, Integer, MetaData, Table, text

from app.config import PROJECT
from app.models import Base
from migrations.own_objects import OwnObjects
from tests.engines import engine_for

TABLE = next(iter(Base.metadata.tables))
OTHERS = {
    "CREATE TABLE other_table (id INTEGER PRIMARY KEY)": "DROP TABLE other_table",
    f"CREATE INDEX other_index ON {TABLE} (created_at)": "DROP INDEX other_index",
    f"CREATE INDEX other_lower ON {TABLE} (lower(owner_id))": "DROP INDEX other_lower",
    "CREATE VIEW other_view AS SELECT 1 AS one": "DROP VIEW other_view",
    f"ALTER TABLE {TABLE} ADD COLUMN other_column TEXT": (
        f"ALTER TABLE {TABLE} DROP COLUMN other_column"
    ),
}


@pytest.mark.usefixtures("service")
def test_objects_that_no_migration_made_are_not_compared(
    alembic_config: alembic.config.Config, database_url: str
) -> None:
    asyncio.run(_execute(database_url, *OTHERS))
    try:
        alembic.command.check(alembic_config)
    finally:
        asyncio.run(_execute(database_url, *reversed(OTHERS.values())))


@pytest.mark.usefixtures("service")
def test_no_migration_is_written_if_the_models_have_not_changed(
    alembic_config: alembic.config.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = PROJECT / "migrations/versions"
    before = {*versions.glob("*.py")}
    printed = StringIO()
    monkeypatch.setattr(alembic_config, "stdout", printed)

    alembic.command.revision(alembic_config, "nothing", autogenerate=True)
    written = {*versions.glob("*.py")} - before
    for file in written:
        file.unlink()

    assert not written
    assert "No migration: the models have not changed." in printed.getvalue()


@pytest.mark.parametrize(
    "message",
    ["add notes", "", 'it\'s 100% {x} %(rev)s\n""" \\', "записки 备忘 İ", "../" * 99, "\udce9"],
)
def test_migrations_with_equal_messages_get_different_valid_files(
    tmp_path: Path, message: str
) -> None:
    config = _config(tmp_path)

    written = [alembic.command.revision(config, message, version_path=str(tmp_path)) for _ in "ab"]

    assert len([*tmp_path.glob("*.py")]) == 2
    for script in written:
        assert isinstance(script, Script)
        compile(Path(script.path).read_bytes(), script.path, "exec")


MIGRATIONS = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = {revision!r}, {down_revision!r}


def upgrade() -> None:
    {upgrade}


def downgrade() -> None:
    op.create_table("of_downgrade")
"""


def test_own_tables_follow_create_rename_and_drop_in_migrations(
    tmp_path: Path,
) -> None:
    previous = ScriptDirectory.from_config(_config(tmp_path)).get_current_head()
    for revision, upgrade in {
        "first": 'op.create_table("kept", sa.Column("a")); op.create_table("dropped")',
        "second": 'op.rename_table("kept", "renamed"); op.drop_table("dropped")',
        "third": 'op.execute("CREATE TABLE IF NOT EXISTS by_sql (id INTEGER)")',
        "fourth": 'op.add_column("renamed", sa.Column("b")); op.create_index("c", "by_sql", ["d"])',
    }.items():
        (tmp_path / f"{revision}.py").write_text(
            MIGRATIONS.format(revision=revision, down_revision=previous, upgrade=upgrade)
        )
        previous = revision

    own = OwnObjects(ScriptDirectory.from_config(_config(tmp_path)))

    names = ("kept", "renamed", "dropped", "by_sql", "of_downgrade", "user")
    tables = [name for name in names if own.include_name(name, "table", {})]
    assert tables == ["renamed", "by_sql"]
    columns = Table("renamed", MetaData(), *(Column(name, Integer) for name in "abd")).columns
    included = [own.include_object(each, each.name, "column", True, None) for each in columns]
    assert included == [True, True, False]


def _config(versions: Path) -> alembic.config.Config:
    config = alembic.config.Config(toml_file=PROJECT / "pyproject.toml")
    places = (str(PROJECT / "migrations/versions"), str(versions))
    config.set_main_option("version_locations", "\n".join(places).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    return config


async def _execute(database_url: str, *statements: str) -> None:
    engine = engine_for(database_url)
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()
