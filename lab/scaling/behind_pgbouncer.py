"""A pytest plugin for the generated suite: all connections go through PgBouncer."""

from sqlalchemy import Dialect, Engine, event

from app.config import DatabaseSettings, Settings
from app.engine import UNPREPARED


def pytest_configure() -> None:
    # The tests remove all settings from the environment, and use the defaults.
    for settings in (DatabaseSettings, Settings):
        settings.model_fields["database_transaction_pooling"].default = True
        settings.model_rebuild(force=True)
    event.listen(Engine, "do_connect", _prepare_nothing)


def _prepare_nothing(dialect: Dialect, record: object, args: object, given: dict) -> None:
    """Include the connections of the tests, which inspect tables and hold locks."""
    if dialect.name == "postgresql":  # some tests use SQLite in memory
        given.update(UNPREPARED)
