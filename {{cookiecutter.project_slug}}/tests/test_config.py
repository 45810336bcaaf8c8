"""A bad setting stops the start, with one line that names it and never its value."""

import os
import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from app.config import PROJECT, ConfigurationError, DatabaseSettings, Settings
from app.main import create_app
from tests.issuer import Issuer


def load(issuer: Issuer, **variables: Any) -> Settings:
    return Settings(**issuer.settings | variables)


def rule(issuer: Issuer, **variables: Any) -> str:
    """What is said of the one wrong variable."""
    with pytest.raises(ValidationError) as caught:
        load(issuer, **variables)
    [error] = caught.value.errors()
    return f"{error['loc'][0]}: {error['msg']}"


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ("http://a.example", ("http://a.example",)),
        (
            "http://a.example, https://b.example:8443",
            ("http://a.example", "https://b.example:8443"),
        ),
        ('["http://a.example", "http://b.example"]', ("http://a.example", "http://b.example")),
        ((), ()),
    ],
)
def test_origins_are_a_json_list_or_have_commas_between(
    issuer: Issuer, given: object, origins: tuple[str, ...]
) -> None:
    assert load(issuer, cors_origins=given).cors_origins == origins


@pytest.mark.parametrize(
    "origin", ["*", "a.example", "http://a.example/", "http://a.example/x", "ftp://a.example", "[x"]
)
def test_an_origin_must_be_exact(issuer: Issuer, origin: str) -> None:
    assert rule(issuer, cors_origins=origin).startswith("cors_origins: ")


@pytest.mark.parametrize("url", ["http://x:port", "http://x:99999"])
def test_a_port_is_one(issuer: Issuer, url: str) -> None:
    assert "Port " in rule(issuer, better_auth_url=url)


@pytest.mark.parametrize(
    "url", ["http://localhost:3000/", "localhost:3000", "ftp://x", "http://user:pw@x", "http://"]
)
def test_an_issuer_is_a_url_without_a_final_slash(issuer: Issuer, url: str) -> None:
    assert "better_auth_url: Value error, must " in rule(issuer, better_auth_url=url)


@pytest.mark.parametrize("leeway", [-1, 61, "x"])
def test_the_leeway_is_at_most_a_minute(issuer: Issuer, leeway: object) -> None:
    assert rule(issuer, jwt_leeway_seconds=leeway).startswith("jwt_leeway_seconds: ")


def test_a_database_url_may_leave_out_the_driver() -> None:
    default = DatabaseSettings().database_url.get_secret_value()
    driver, _, rest = default.partition("://")

    plain = DatabaseSettings(database_url=f"{driver.split('+')[0]}://{rest}")

    assert plain.database_url.get_secret_value() == default


@pytest.mark.parametrize("url", ["", "tasks.db", "mysql://x/y", "oracle+oracledb://x/y"])
def test_a_database_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match=r"must be a .*:// URL"):
        DatabaseSettings(database_url=url)


def test_a_bad_variable_stops_the_start_with_one_line(issuer: Issuer) -> None:
    variables = {name.upper(): str(value) for name, value in issuer.settings.items()}
    bad = variables | {"DATABASE_URL": "MARKER", "PATH": os.environ["PATH"]}

    for command in ("uvicorn --factory app.main:create_app --port 0", "alembic upgrade head"):
        stopped = subprocess.run(
            [sys.executable, "-m", *command.split()],
            env=bad, cwd=PROJECT, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert stopped.returncode != 0
        assert stopped.stderr.splitlines()[-1].startswith("DATABASE_URL: must be a ")
        assert "Traceback" not in stopped.stderr
        assert "MARKER" not in stopped.stderr + stopped.stdout


def test_a_bad_variable_is_named_by_the_exception_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BETTER_AUTH_URL", "MARKER")

    with pytest.raises(ConfigurationError, match=r"^BETTER_AUTH_URL: must be an http") as caught:
        Settings.load()
    with pytest.raises(SystemExit, match=str(caught.value)):
        create_app()
