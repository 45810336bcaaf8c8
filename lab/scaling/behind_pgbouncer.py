"""A plugin for the tests of a rendered project: what they and the service run goes by a pooler."""

from sqlalchemy import Dialect, Engine, event

from app.config import DatabaseSettings, Settings
from app.engine import UNPREPARED


def pytest_configure() -> None:
    # The tests take all settings out of the environment, and keep to the defaults.
    for settings in (DatabaseSettings, Settings):
        settings.model_fields["database_transaction_pooling"].default = True
        settings.model_rebuild(force=True)
    event.listen(Engine, "do_connect", _prepare_nothing)


def _prepare_nothing(dialect: Dialect, record: object, args: object, given: dict) -> None:
    """The tests' own connections, too: they look at tables and hold locks."""
    if dialect.name == "postgresql":  # some use SQLite in memory
        given.update(UNPREPARED)
