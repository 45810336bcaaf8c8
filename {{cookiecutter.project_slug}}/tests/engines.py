"""The tests' own connections to the service's database."""

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from app.config import DatabaseSettings
from app.engine import for_migrations


def engine_for(database_url: str) -> AsyncEngine:
    """Return an engine for any URL that the service accepts, including providers' parameters."""
    return for_migrations(DatabaseSettings(database_url=SecretStr(database_url)))
