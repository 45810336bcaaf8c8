"""Connections of the tests' own, to the database of the service."""

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from app.config import DatabaseSettings
from app.engine import for_migrations


def engine_for(database_url: str) -> AsyncEngine:
    """Return an engine for any URL that the service accepts, with parameters of a provider too."""
    return for_migrations(DatabaseSettings(database_url=SecretStr(database_url)))
