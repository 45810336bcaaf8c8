"""SQLAlchemy engines with which tests reach the database directly, not through the service."""

from typing import Any

from alembic.runtime.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import Connection, Table
from sqlalchemy.ext.asyncio import AsyncEngine

import migrations.table_changes  # noqa: F401 - registers the class that create_table uses
from app.config import DatabaseSettings
from app.engine import for_migrations


def engine_for(database_url: str) -> AsyncEngine:
    """Return an engine for any URL that the service accepts, including providers' parameters."""
    return for_migrations(DatabaseSettings(database_url=SecretStr(database_url)))


def create_table(connection: Connection, table: Table[Any]) -> None:
    """Create a table as a migration does: on Citus, a table with an owner is distributed."""
    MigrationContext.configure(connection).impl.create_table(table)
