"""The tests' own connections to the service's database."""

from typing import Any

from alembic.runtime.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import Connection, Table
from sqlalchemy.ext.asyncio import AsyncEngine

import migrations.table_changes  # noqa: F401 - it replaces a class of Alembic
from app.config import DatabaseSettings
from app.engine import for_migrations


def engine_for(database_url: str) -> AsyncEngine:
    """Return an engine for any URL that the service accepts, including providers' parameters."""
    return for_migrations(DatabaseSettings(database_url=SecretStr(database_url)))


def create_table(connection: Connection, table: Table[Any]) -> None:
    """Create a table as a migration does. On Citus, it is distributed if it has an owner."""
    MigrationContext.configure(connection).impl.create_table(table)
