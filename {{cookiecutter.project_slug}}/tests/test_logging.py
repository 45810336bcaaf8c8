"""Each request is logged as one JSON line with its user and reason, and without secrets."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import structlog
from fastapi import FastAPI

from app.config import Settings
from app.logging import configure_logging
from app.main import create_app
from app.routers import health
from tests.conftest import NO_TLS, serve
from tests.issuer import Issuer
from tests.sample_resource import PATH, READ, WRITE
from tests.tokens import token


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


Request = tuple[str, str, dict[str, str]]


Logged = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def logged(settings: Settings) -> Iterator[Logged]:
    """`logged((method, path, headers), …)` sends the requests and returns the logged lines."""

    def log_lines(*requests: Request, root_path: str = "") -> list[dict[str, Any]]:
        written = io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stderr", written)
            app = create_app(settings.model_copy(update={"root_path": root_path}))

        @app.get("/broken")
        async def broken() -> None:
            secret_in_a_local_variable = requests
            raise RuntimeError(len(secret_in_a_local_variable))

        app.include_router(health.router, prefix="/included")
        app.mount("/mounted", FastAPI(routes=health.router.routes))

        with serve(app) as base_url, httpx2.Client(base_url=base_url, verify=NO_TLS) as client:
            for method, path, headers in requests:
                client.request(method, path, headers=headers)
        return [json.loads(line) for line in written.getvalue().splitlines()]

    yield log_lines
    configure_logging()


def bearer(value: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"}


@pytest.mark.usefixtures("service")
def test_each_request_is_logged_as_one_line_with_route_and_user(
    logged: Logged, issuer: Issuer
) -> None:
    headers = bearer(token(issuer, sub="ann")) | {"X-Request-ID": "trace-1"}

    [line] = logged(("GET", f"{PATH}/{uuid4()}?token=MARKER", headers))

    assert line.pop("milliseconds") >= 0
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "request",
        "level": "info",
        "method": "GET",
        "reason": None,
        "request_id": "trace-1",
        "route": PATH + "/{id}",
        "status": 404,
        "user": "ann",
    }


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize("root_path", ["/x", "/api", "/api/v1"])
def test_logged_route_does_not_include_the_root_path(
    logged: Logged, issuer: Issuer, root_path: str
) -> None:
    [line] = logged(("GET", f"{PATH}/{uuid4()}", bearer(token(issuer))), root_path=root_path)

    assert line["route"] == PATH + "/{id}"


@pytest.mark.parametrize("root_path", ["", "/included"])
def test_logged_route_has_the_prefixes_of_routers_and_mounts(
    logged: Logged, root_path: str
) -> None:
    paths = ["/included/health/live", "/mounted/health/live"]

    lines = logged(*[("GET", path, {}) for path in paths], root_path=root_path)

    assert [line["route"] for line in lines] == paths


def test_reason_for_a_rejected_token_is_logged(logged: Logged, issuer: Issuer) -> None:
    [line] = logged(("GET", PATH, bearer(token(issuer, exp=1))))

    assert (line["status"], line["reason"], line["user"]) == (401, "exp has passed", None)


@pytest.mark.parametrize(
    ("method", "path", "reason"),
    [
        ("POST", PATH, f"the token's scope lacks {WRITE}"),
        ("DELETE", "/api/v1/me", "not for applications"),
    ],
)
def test_log_names_the_missing_scope(
    logged: Logged, issuer: Issuer, method: str, path: str, reason: str
) -> None:
    [line] = logged((method, path, bearer(token(issuer, client_id="app", scope=READ))))

    assert (line["status"], line["user"], line["reason"]) == (403, "ann", reason)


def test_no_token_secret_or_path_is_logged(logged: Logged, issuer: Issuer) -> None:
    good, bad = token(issuer), token(issuer, aud="MARKER", sub="MARKER")

    lines = logged(
        ("GET", "/broken", bearer(good)),
        ("GET", PATH, bearer(bad)),
        ("GET", f"/MARKER?token={good}", {}),
        ("GET", PATH, {"Authorization": good, "Cookie": f"session={good}"}),
    )

    written = json.dumps(lines)
    assert len(lines) == 5
    assert "RuntimeError: 4" in written
    for secret in (good, bad, "MARKER", *map(str, issuer.settings.values())):
        assert secret not in written


def test_uvicorn_access_log_is_disabled() -> None:
    configure_logging()

    assert logging.getLogger("uvicorn.access").disabled  # it logs query strings


def test_user_input_cannot_forge_a_log_line(logged: Logged, issuer: Issuer) -> None:
    forged = '{"event": "request"}'

    lines = logged(
        ("GET", f"/a%0a{forged}", {}),
        ("GET", "/health/live", {"X-Request-ID": forged}),
        ("GET", "/health/live", bearer(token(issuer, sub=f"a\n{forged}"))),
    )

    assert [line["route"] for line in lines] == [None, "/health/live", "/health/live"]
    assert forged not in json.dumps(lines)


def test_log_on_a_terminal_is_text_in_color(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr", terminal)
        configure_logging()
        structlog.get_logger().info("hello", number=1)
    configure_logging()

    assert "\x1b[" in terminal.getvalue()
    assert "hello" in terminal.getvalue()


@pytest.mark.parametrize("name", ["ä", "\u2028", "\x85", "\ud800", "line\nbreak", "\x7f"])
def test_any_text_is_logged_as_one_line_of_ascii(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    written = io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr", written)
        configure_logging()
        structlog.get_logger().info("event", name=name, unknown=object())
    configure_logging()

    [line] = written.getvalue().splitlines()
    assert line.isascii()
    assert json.loads(line)["name"] == name
