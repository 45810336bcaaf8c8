"""`RATE_LIMIT` limits the requests of each caller, and is off by default."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from app.config import Settings
from app.main import create_app
from tests.conftest import NO_TLS, serve
from tests.issuer import Issuer
from tests.sample_resource import PATH
from tests.test_http import is_problem
from tests.tokens import token

pytestmark = pytest.mark.usefixtures("service")

UNREACHABLE_STORAGE = SecretStr("redis://127.0.0.1:1")


@pytest.fixture
def limited(settings: Settings) -> Iterator[str]:
    """Yield the base URL of a service with a limit of three requests per hour for each caller."""
    with serve(create_app(settings.model_copy(update={"rate_limit": "3/hour"}))) as base_url:
        yield base_url


Get = Callable[..., httpx2.Response]


@pytest.fixture
def get(issuer: Issuer) -> Get:
    """`get(base_url, path, sub=…)` sends a GET request, by default with Ann's token."""

    def get_as_user(base_url: str, path: str = PATH, **changes: Any) -> httpx2.Response:
        bearer = changes.pop("bearer", "") or token(issuer, **changes)
        headers = {"Authorization": f"Bearer {bearer}"}
        return httpx2.get(base_url + path, headers=headers, verify=NO_TLS)

    return get_as_user


def test_request_over_the_limit_returns_429_with_retry_after(limited: str, get: Get) -> None:
    statuses = [get(limited).status_code for _ in range(3)]

    rejected = get(limited)

    assert statuses == [200, 200, 200]
    assert is_problem(rejected, 429)
    assert 1 <= int(rejected.headers["Retry-After"]) <= 3_600


def test_each_user_has_a_separate_limit(limited: str, get: Get) -> None:
    statuses = [get(limited).status_code for _ in range(4)]

    assert statuses[-1] == 429
    assert get(limited, sub="bob").status_code == 200


def test_unauthenticated_requests_are_limited_by_address(limited: str, get: Get) -> None:
    statuses = [get(limited, bearer=f"invalid-{number}").status_code for number in range(4)]

    assert statuses == [401, 401, 401, 429]
    assert get(limited).status_code == 200


def test_health_endpoints_are_not_limited(limited: str, get: Get) -> None:
    statuses = {get(limited, "/health/ready").status_code for _ in range(5)}

    assert statuses == {200}


def test_requests_are_not_limited_by_default(service: str, get: Get) -> None:
    assert {get(service).status_code for _ in range(5)} == {200}


def test_unreachable_storage_disables_the_limit(settings: Settings, get: Get) -> None:
    unreachable = {"rate_limit": "1/minute", "rate_limit_storage_url": UNREACHABLE_STORAGE}
    with (
        serve(create_app(settings.model_copy(update=unreachable))) as base_url,
        capture_logs() as logged,
    ):
        statuses = [get(base_url).status_code for _ in range(3)]

    assert statuses == [200, 200, 200]
    # Only the first request waits for the storage; the next ones skip it for a while.
    assert [line["event"] for line in logged].count("requests not counted") == 1


def test_missing_redis_package_stops_the_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    needs_redis = {"rate_limit": "1/minute", "rate_limit_storage_url": UNREACHABLE_STORAGE}

    with pytest.raises(SystemExit, match=r"RATE_LIMIT_STORAGE_URL: .* uv sync --extra redis"):
        create_app(settings.model_copy(update=needs_redis))
