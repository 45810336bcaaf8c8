"""An invalid setting stops the start with one line that names it, and never shows its value."""

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


def error_message(issuer: Issuer, **variables: Any) -> str:
    """Return the error message for the one invalid variable."""
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
def test_origins_may_be_a_json_list_or_separated_by_commas(
    issuer: Issuer, given: object, origins: tuple[str, ...]
) -> None:
    assert load(issuer, cors_origins=given).cors_origins == origins


@pytest.mark.parametrize(
    "origin", ["*", "a.example", "http://a.example/", "http://a.example/x", "ftp://a.example", "[x"]
)
def test_value_that_is_not_an_exact_origin_is_rejected(issuer: Issuer, origin: str) -> None:
    assert error_message(issuer, cors_origins=origin).startswith("cors_origins: ")


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("HTTP://a.example", "http://a.example"),
        ("https://A.Example", "https://a.example"),
        ("http://a.example:80", "http://a.example"),
        ("https://a.example:443", "https://a.example"),
        ("https://a.example:", "https://a.example"),
        ("https://a.example:08443", "https://a.example:8443"),
        ("https://a.example/", "https://a.example"),
        ("https://a.example/x?y#z", "https://a.example"),
        ("https://Bücher.example", "https://xn--bcher-kva.example"),
        ("http://[0:0::1]:3000", "http://[::1]:3000"),
        ("http://[2001:DB8::1]", "http://[2001:db8::1]"),
        ("http://[::ffff:127.0.0.1]", "http://[::ffff:7f00:1]"),
    ],
)
def test_origin_in_another_form_is_rejected_with_the_form_that_browsers_send(
    issuer: Issuer, given: str, sent: str
) -> None:
    assert error_message(issuer, cors_origins=given).endswith(f"that browsers send: {sent}")
    assert load(issuer, cors_origins=sent).cors_origins == (sent,)


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost",
        "http://localhost:443",
        "https://a.example:80",
        "http://127.0.0.1:3000",
        "http://[::1]:3000",
        "http://a_b.example",
        "http://a.example.",
        "https://xn--bcher-kva.example",
    ],
)
def test_origin_as_browsers_send_it_is_accepted(issuer: Issuer, origin: str) -> None:
    assert load(issuer, cors_origins=origin).cors_origins == (origin,)
    assert load(issuer, better_auth_url=origin).better_auth_url == origin
    assert load(issuer, better_auth_url=f"{origin}/auth").better_auth_url == f"{origin}/auth"


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "http://",
        "http://*.a.example",
        "http://user@a.example",
        "http://user:MARKER@a.example",  # pragma: allowlist secret
        "http://a..example",
        "http://a%41.example",
        "http://a.example:0",
        "http://a.example:65536",
        "http://a.example:x",
        "http://127.1",
        "http://0x7f.0.0.1",
        "http://127.0.0.01",
        "http://[::1",
        "http://[::1%25eth0]",
        "http://faß.example",  # different hosts under IDNA 2003 and IDNA 2008
        "http://a b.example",
        "http://a\\b.example",
        "chrome-extension://a",
    ],
)
def test_invalid_origin_is_rejected_without_a_suggestion(issuer: Issuer, origin: str) -> None:
    assert "must be origins, scheme://host[:port]" in error_message(issuer, cors_origins=origin)
    assert "MARKER" not in error_message(issuer, better_auth_url=origin)


@pytest.mark.parametrize(
    "origins",
    ["[x", '["http://a.example"', "[]]", pytest.param("[" * 100_000, id="too deeply nested")],
)
def test_malformed_json_list_of_origins_is_rejected(issuer: Issuer, origins: str) -> None:
    assert "must be a JSON list, or items" in error_message(issuer, cors_origins=origins)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("HTTPS://a.example", "https://a.example"),
        ("https://A.example/auth", "https://a.example"),
        ("https://a.example:443", "https://a.example"),
        ("http://localhost:3000x/", None),
    ],
)
def test_issuer_in_another_form_is_rejected_with_the_form_that_browsers_send(
    issuer: Issuer, url: str, origin: str | None
) -> None:
    message = error_message(issuer, better_auth_url=url)

    assert message.endswith(f"with the form that browsers send: {origin}" if origin else "'3000x'")


@pytest.mark.parametrize("prefix", ["/x", "/a/b.c/~d-e_f"])
def test_valid_root_path_is_accepted(issuer: Issuer, prefix: str) -> None:
    assert load(issuer, root_path=prefix).root_path == prefix
    assert load(issuer, root_path="").root_path == ""


@pytest.mark.parametrize(
    "prefix",
    ["/", "x", "/x/", "//x", "/x//y", "/x y", "/..", "/.x", "/x?", "/x#", "/%41", "/ä", "/x\n"],
)
def test_invalid_root_path_is_rejected(issuer: Issuer, prefix: str) -> None:
    assert "must begin with a slash and not end with one" in error_message(issuer, root_path=prefix)


@pytest.mark.parametrize("host", ["x86_64-conda-linux-gnu", "my-laptop", "127.1", "[::]"])
def test_host_that_is_not_an_address_is_ignored_in_the_environment_only(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("HOST", host)

    assert load(issuer).host == "127.0.0.1"
    assert "must be an IP address" in error_message(issuer, host=host)  # as in .env


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::1", "localhost"])  # noqa: S104
def test_host_that_is_an_address_is_accepted(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("HOST", host)

    assert load(issuer).host == host


@pytest.mark.parametrize("url", ["http://x:port", "http://x:99999"])
def test_issuer_with_an_invalid_port_is_rejected(issuer: Issuer, url: str) -> None:
    assert "Port " in error_message(issuer, better_auth_url=url)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:3000/",
        "localhost:3000",
        "ftp://x",
        "http://user:@x",
        "http://",
        "http://x?y",
    ],
)
def test_issuer_that_is_not_a_plain_url_is_rejected(issuer: Issuer, url: str) -> None:
    assert "better_auth_url: Value error, must " in error_message(issuer, better_auth_url=url)


@pytest.mark.parametrize("leeway", [-1, 61, "x"])
def test_leeway_outside_0_to_60_seconds_is_rejected(issuer: Issuer, leeway: object) -> None:
    assert error_message(issuer, jwt_leeway_seconds=leeway).startswith("jwt_leeway_seconds: ")


@pytest.mark.parametrize("rate", ["100", "0/minute", "1/year", "x/day", "1 per day", "-1/day"])
def test_malformed_rate_limit_is_rejected(issuer: Issuer, rate: str) -> None:
    assert "must be a number of requests per period" in error_message(issuer, rate_limit=rate)


@pytest.mark.parametrize("url", ["localhost:6379", "http://x", "memcached://x"])
def test_rate_limit_storage_other_than_memory_or_redis_is_rejected(
    issuer: Issuer, url: str
) -> None:
    assert "must be memory://, or a redis://" in error_message(issuer, rate_limit_storage_url=url)
    with_password = "rediss://user:pw@host:6380/1"  # pragma: allowlist secret
    load(issuer, rate_limit="100/minute", rate_limit_storage_url=with_password)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("database_pool_size", 0), ("request_timeout_seconds", 0), ("port", 65536), ("workers", 0)],
)
def test_number_out_of_range_is_rejected(issuer: Issuer, variable: str, value: int) -> None:
    assert error_message(issuer, **{variable: value}).startswith(f"{variable}: Input should be ")


@pytest.mark.parametrize("url", ["", "tasks.db", "mysql://x/y", "oracle+oracledb://x/y"])
def test_database_url_with_another_scheme_is_rejected(url: str) -> None:
    with pytest.raises(ValidationError, match=r"must be a .*:// URL"):
        DatabaseSettings(database_url=url)


@pytest.mark.slow
def test_invalid_setting_stops_the_start_with_one_line(issuer: Issuer) -> None:
    variables = {name.upper(): str(value) for name, value in issuer.settings.items()}
    environment = os.environ | variables | {"DATABASE_URL": "MARKER"}

    commands = ("app", "uvicorn --factory app.main:create_app", "alembic upgrade head")
    starting = [
        subprocess.Popen(
            [sys.executable, "-m", *command.split()],
            env=environment, cwd=PROJECT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for command in commands
    ]  # fmt: skip
    printed = [process.communicate(timeout=60)[0] for process in starting]

    assert all(process.returncode != 0 for process in starting)
    for text in printed:
        assert text.splitlines()[-1].startswith("DATABASE_URL: must be a ")
        assert "Traceback" not in text
        assert "MARKER" not in text


def test_configuration_error_names_the_invalid_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BETTER_AUTH_URL", "MARKER")

    with pytest.raises(ConfigurationError, match=r"^BETTER_AUTH_URL: must be an http") as caught:
        Settings.load()
    with pytest.raises(SystemExit, match=str(caught.value)):
        create_app()
