"""What tests share: the real service over HTTP, its real database, and people with real tokens."""

import asyncio
import os
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Thread
from typing import Any

import alembic.command
import alembic.config
import httpx2
import hypothesis
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import Executable

from app.config import PROJECT, ConfigurationError, DatabaseSettings, Settings
from app.database import Database
from app.database_url import normalized
from app.engine import DIALECT
from app.errors import Unavailable
from app.http_protocol import HttpProtocol
from app.main import create_app
from app.models import Base
from app.statement import Statement
from tests.database import reserved_database, temporary_database
from tests.engines import engine_for
from tests.issuer import Issuer, running_issuer
from tests.owner_check import check_owner
from tests.tokens import AUDIENCE, BETTER_AUTH_URL, token

SignIn = Callable[..., httpx2.Client]

# Speed is not what tests are for, and a busy machine would fail them.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.load_profile("default")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Reject a `TEST_DATABASE_URL` with other data, because the tests delete everything."""
    url = os.environ.get("TEST_DATABASE_URL")
    if not url or session.config.getoption("collectonly"):
        return
    reservation = ExitStack()
    session.config.add_cleanup(reservation.close)
    try:
        if normalized(url, PROJECT) == _database_url_of_the_service():
            raise ValueError("it names the database in DATABASE_URL. Name another, empty one")
        reservation.enter_context(reserved_database(url))
    except ValueError as error:
        raise pytest.UsageError(f"TEST_DATABASE_URL: {error}") from None
    except Unavailable as error:
        raise pytest.UsageError(f"TEST_DATABASE_URL: cannot use the {error.reason}") from None


def _database_url_of_the_service() -> str | None:
    try:
        return DatabaseSettings.load().database_url.get_secret_value()
    except ConfigurationError:
        return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests without parameters, for example if no resource has a reference."""
    empty = [
        item
        for item in items
        for mark in item.iter_markers("skip")
        if "empty parameter set" in mark.kwargs.get("reason", "")
    ]
    items[:] = [item for item in items if item not in empty]
    config.hook.pytest_deselected(items=empty)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(Settings.model_config, "env_file", None)
        patch.setitem(DatabaseSettings.model_config, "env_file", None)
        # With proxy variables, requests to the tests' own services would go to a proxy.
        others = [name for name in os.environ if re.fullmatch("(?i)OTEL_.*|.*_PROXY", name)]
        for name in (*map(str.upper, Settings.model_fields), *others):
            patch.delenv(name, raising=False)
        yield


# The reasons of statements that may reach the rows of several users, and what their SQL matches.
# A new reason needs a line here, so that reviewers see it.
TESTING = "a test that acts for no user"
UNSCOPED = {
    "reads no row": r"WHERE (false|0 = 1)$",  # Database.ping
    TESTING: "",
}


@pytest.fixture(scope="session", autouse=True)
def _statements_are_scoped() -> Iterator[None]:
    """Check each statement that the service compiles in any of the tests.

    A statement that could reach rows of other users raises UnscopedStatement. If it is marked as
    unscoped, its reason and SQL have to be listed, or the run fails at its end.
    """
    unscoped: set[tuple[str, str]] = set()
    compile_statement = Statement.__init__

    def check_and_compile(statement: Statement, expression: Executable) -> None:
        if reason := check_owner(expression, DIALECT, Base.metadata):
            unscoped.add((reason, str(expression)))
        compile_statement(statement, expression)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Statement, "__init__", check_and_compile)
        yield
    unknown = [
        (reason, sql)
        for reason, sql in unscoped
        if reason not in UNSCOPED or not re.search(UNSCOPED[reason], sql)
    ]
    assert not unknown, f"list these statements in UNSCOPED in tests/conftest.py: {unknown}"


@pytest.fixture(scope="session")
def issuer() -> Iterator[Issuer]:
    with running_issuer() as issuer:
        yield issuer


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """Return the URL of a database for the run; `TEST_DATABASE_URL` overrides it."""
    with ExitStack() as stack:
        given = os.environ.get("TEST_DATABASE_URL")
        url = given or stack.enter_context(temporary_database())
        yield DatabaseSettings(database_url=SecretStr(url)).database_url.get_secret_value()


@pytest.fixture(scope="session")
def settings(database_url: str, issuer: Issuer) -> Settings:
    values: dict[str, Any] = {
        "database_url": database_url,
        "better_auth_url": BETTER_AUTH_URL,
        "jwt_audience": AUDIENCE,
        **issuer.settings,
    }
    return Settings(**values)


@pytest.fixture(scope="session")
def alembic_config(database_url: str) -> Iterator[alembic.config.Config]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", database_url)
        yield alembic.config.Config(toml_file=PROJECT / "pyproject.toml")


@contextmanager
def serve(app: FastAPI) -> Iterator[str]:
    """The base URL at which `app` answers, by the real server on a free port."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, http=HttpProtocol, log_level="warning", server_header=False)
    )
    thread = Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def running_service(settings: Settings, alembic_config: alembic.config.Config) -> Iterator[str]:
    alembic.command.upgrade(alembic_config, "head")
    with serve(create_app(settings)) as base_url:
        yield base_url


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    """Yield a database of the test's own, with no connection yet."""
    database = Database(settings)
    yield database
    await database.close()


@pytest.fixture(scope="session")
def empty_tables(database_url: str) -> Iterator[Callable[[], None]]:
    engine = engine_for(database_url)

    async def empty() -> None:
        async with engine.begin() as connection:
            for table in reversed(Base.metadata.sorted_tables):
                await connection.execute(table.delete())

    with asyncio.Runner() as runner:
        yield lambda: runner.run(empty())
        runner.run(engine.dispose())


@pytest.fixture
def service(running_service: str, empty_tables: Callable[[], None]) -> Iterator[str]:
    """The base URL of the running service, with empty tables."""
    yield running_service
    empty_tables()


# Reading the certificates of the machine takes 50 ms, for each client, and none is needed here.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@pytest.fixture
def client(service: str) -> Iterator[httpx2.Client]:
    """Somebody who is not signed in."""
    with httpx2.Client(base_url=service, verify=NO_TLS) as anonymous:
        yield anonymous


@pytest.fixture
def sign_in(service: str, issuer: Issuer) -> Iterator[SignIn]:
    """`sign_in("ann")` is Ann's client. Her token is like those of Better Auth, plus `claims`."""
    clients: list[httpx2.Client] = []

    def signed_in(subject: str, **claims: Any) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {token(issuer, sub=subject, **claims)}"}
        clients.append(httpx2.Client(base_url=service, headers=headers, verify=NO_TLS))
        return clients[-1]

    yield signed_in
    for signed_in_client in clients:
        signed_in_client.close()


@pytest.fixture
def ann(sign_in: SignIn) -> httpx2.Client:
    return sign_in("ann")


@pytest.fixture
def bob(sign_in: SignIn) -> httpx2.Client:
    return sign_in("bob")
