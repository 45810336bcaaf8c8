"""Migrations distribute tables with an owner on Citus, and create plain tables elsewhere.

These tests run on any PostgreSQL. They check the distribution only if `TEST_DATABASE_URL` names the
coordinator of a Citus cluster.
"""

import asyncio
import re
from io import StringIO

import alembic.command
import alembic.config
import pytest
from sqlalchemy import text

from app.models import Base
from tests.database import HAS_CITUS
from tests.engines import engine_for
from tests.test_migrations import OWN_TABLES, Versions, _tables, versions  # noqa: F401

OWNED = {
    table.name for table in Base.metadata.tables.values() if "owner_id" in table.primary_key.columns
}
TABLE = next(table.name for table in Base.metadata.sorted_tables if "id" in table.columns)
DISTRIBUTED = """
SELECT CAST(logicalrelid AS text) AS name, colocationid FROM pg_dist_partition
WHERE partmethod = 'h' AND column_to_column_name(logicalrelid, partkey) = 'owner_id'
"""
NEW_TABLES = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "REVISION", "PREVIOUS"
OWNED = [
    sa.Column("owner_id", sa.String(255), primary_key=True),
    sa.Column("id", sa.Uuid(), primary_key=True),
]


def upgrade() -> None:
    op.create_table(
        "folders",
        *(column._copy() for column in OWNED),
        sa.Column("name", sa.String(200), nullable=False, index=True),
        sa.Column("parent_id", sa.Uuid()),
        sa.Column("item_id", sa.Uuid()),
        sa.ForeignKeyConstraint(
            ["owner_id", "parent_id"],
            ["folders.owner_id", "folders.id"],
            op.f("fk_folders__parent"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["owner_id", "item_id"], ["TABLE.owner_id", "TABLE.id"], op.f("fk_folders__item")
        ),
        sa.UniqueConstraint("owner_id", "name", name=op.f("uq_folders__name")),
    )
    op.create_table("Odd name", *(column._copy() for column in OWNED))
    op.create_table("no_owner", sa.Column("owner_id", sa.Text()), sa.Column("id", sa.Uuid()))
    for n in range(6):
        values = f"'user {n}', '018f0000-0000-7000-8000-00000000000{n}', '{n}'"
        op.execute(f"INSERT INTO folders (owner_id, id, name) VALUES ({values})")


def downgrade() -> None:
    for table in ("no_owner", "Odd name", "folders"):
        op.drop_table(table)
"""
CHANGES = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "REVISION", "PREVIOUS"


def upgrade() -> None:
    op.add_column("folders", sa.Column("other_id", sa.Uuid()))
    op.create_foreign_key(
        op.f("fk_folders__other"),
        *("folders", "folders"),
        *(["owner_id", "other_id"], ["owner_id", "id"]),
    )
    op.create_index("ix_folders__other", "folders", ["owner_id", "other_id", "id"])
    op.add_column("folders", sa.Column("size", sa.Integer(), server_default="1"))
    op.execute("UPDATE folders SET size = 2 WHERE size = 1")
    op.alter_column("folders", "size", nullable=False)
    op.create_check_constraint(op.f("ck_folders_size"), "folders", "size > 0")
    op.alter_column(
        "folders", "name", type_=sa.BigInteger(), postgresql_using="CAST(name AS bigint)"
    )
    op.alter_column("folders", "name", new_column_name="number")
    op.drop_constraint(op.f("fk_folders__item"), "folders")
    op.drop_index(op.f("ix_folders__name"), "folders")
    op.rename_table("folders", "trees")


def downgrade() -> None:
    op.rename_table("trees", "folders")
    op.create_index(op.f("ix_folders__name"), "folders", ["number"])
    op.drop_constraint(op.f("ck_folders_size"), "folders")
    for column in ("size", "other_id"):
        op.drop_column("folders", column)
"""


async def _distributed(database_url: str) -> dict[str, int] | None:
    """Return the tables distributed by owner, each with its colocation group; None if no Citus."""
    engine = engine_for(database_url)
    try:
        async with engine.connect() as connection:
            if not await connection.scalar(text(HAS_CITUS)):
                return None
            found = await connection.execute(text(DISTRIBUTED))
            return {row.name: row.colocationid for row in found}
    finally:
        await engine.dispose()


def _check_distribution(database_url: str, expected: set[str]) -> None:
    distributed = asyncio.run(_distributed(database_url))
    if distributed is not None:
        assert distributed.keys() == expected
        assert len({*distributed.values()}) == 1  # all rows of a user are on the same node


@pytest.mark.usefixtures("service")
def test_tables_with_an_owner_are_distributed_together_on_citus(database_url: str) -> None:
    _check_distribution(database_url, OWNED)


def _add(to: Versions, *contents: str) -> None:
    previous = to.head
    for revision, content in zip("ab", contents, strict=False):
        names = {"REVISION": revision, "PREVIOUS": previous, "TABLE": TABLE}
        for placeholder, name in names.items():
            content = content.replace(placeholder, str(name))
        (to.folder / f"{revision}.py").write_text(content)
        previous = revision


def test_migrations_of_one_run_create_and_change_tables_with_references(
    versions: Versions,  # noqa: F811
    database_url: str,
) -> None:
    _add(versions, NEW_TABLES, CHANGES)

    versions.upgrade()
    upgraded = asyncio.run(_tables(database_url))
    _check_distribution(database_url, OWNED | {"trees", '"Odd name"'})
    alembic.command.downgrade(versions.config, str(versions.head))

    assert upgraded - OWN_TABLES == {"trees", "Odd name", "no_owner"}
    assert asyncio.run(_tables(database_url)) == OWN_TABLES
    _check_distribution(database_url, OWNED)


def test_script_of_migrations_creates_and_distributes_the_same_tables(
    versions: Versions,  # noqa: F811
    database_url: str,
    alembic_config: alembic.config.Config,
) -> None:
    _add(versions, NEW_TABLES)
    versions.config.output_buffer = script = StringIO()
    alembic.command.upgrade(versions.config, "head", sql=True)
    alembic.command.downgrade(versions.config, "base")

    asyncio.run(_execute(database_url, "DROP TABLE alembic_version, alembic_checksums"))
    try:
        asyncio.run(_execute(database_url, script.getvalue()))
        created = asyncio.run(_tables(database_url))
        _check_distribution(database_url, OWNED | {"folders", '"Odd name"'})
        alembic.command.downgrade(versions.config, str(versions.head))
    finally:
        alembic.command.upgrade(alembic_config, "head")

    assert created - OWN_TABLES == {"folders", "Odd name", "no_owner"}
    assert asyncio.run(_tables(database_url)) == OWN_TABLES
    distributed = re.findall(r"create_distributed_table\('(.*)', 'owner_id'\)", script.getvalue())
    # The script also has the tables that a later migration drops.
    assert OWNED | {"folders", '"Odd name"'} <= {*distributed}
    assert "no_owner" not in distributed


async def _execute(database_url: str, statements: str) -> None:
    engine = engine_for(database_url)
    async with engine.connect() as connection:
        raw = await connection.get_raw_connection()
        assert raw.driver_connection
        await raw.driver_connection.execute(statements)
    await engine.dispose()
