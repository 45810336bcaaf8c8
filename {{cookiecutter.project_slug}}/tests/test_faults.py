"""Database failures and exceeded deadlines return a 503 in time, and the service recovers."""

import asyncio
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import alembic.command
import alembic.config
import httpx2
import pytest
from pydantic import SecretStr
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from app.config import Settings
from app.main import create_app
from app.middleware import Deadline
from tests.conftest import NO_TLS, serve
from tests.database import UNREACHABLE_URL, locked_database
from tests.issuer import Issuer
from tests.sample_resource import BODY, PATH, TEXT
from tests.test_http import is_problem
from tests.tokens import token

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("service")]


@contextmanager
def service_with(settings: Settings, issuer: Issuer, **changes: Any) -> Iterator[httpx2.Client]:
    """Yield Ann's client of a service that runs with these settings."""
    headers = {"Authorization": f"Bearer {token(issuer, sub='ann')}"}
    with (
        serve(create_app(settings.model_copy(update=changes))) as base_url,
        httpx2.Client(base_url=base_url, headers=headers, verify=NO_TLS) as ann,
    ):
        yield ann


def is_unavailable(response: httpx2.Response) -> bool:
    return is_problem(response, 503) and int(response.headers["Retry-After"]) > 0


def texts(ann: httpx2.Client) -> list[str]:
    return [row[TEXT] for row in ann.get(PATH).json()["items"]]


def test_locked_database_returns_503_until_it_is_unlocked(
    settings: Settings, issuer: Issuer, database_url: str
) -> None:
    with service_with(settings, issuer, database_statement_timeout_seconds=0.2) as ann:
        with locked_database(database_url):
            rejected = ann.post(PATH, json=BODY)
        retried = ann.post(PATH, json=BODY)

        assert is_unavailable(rejected)
        assert retried.status_code == 201
        assert texts(ann) == [BODY[TEXT]]


def test_waiting_too_long_for_a_connection_returns_503(
    settings: Settings, issuer: Issuer, database_url: str
) -> None:
    pool = {"database_pool_size": 1, "database_pool_timeout_seconds": 0.2}
    with service_with(settings, issuer, **pool) as ann, ThreadPoolExecutor() as threads:
        with locked_database(database_url):
            pending = [threads.submit(ann.post, PATH, json=BODY) for _ in range(5)]
            # Not a fixed delay: on a busy machine the last request may start long after the first.
            while sum(request.done() for request in pending) < len(pending) - 1:
                time.sleep(0.01)
        responses = [request.result() for request in pending]

        assert sorted(response.status_code for response in responses) == [201, 503, 503, 503, 503]
        assert all(
            is_unavailable(response) for response in responses if response.status_code == 503
        )
        assert ann.post(PATH, json=BODY).status_code == 201


def test_request_over_its_deadline_returns_503(
    settings: Settings, issuer: Issuer, database_url: str
) -> None:
    with service_with(settings, issuer, request_timeout_seconds=0.3) as ann:
        with locked_database(database_url):
            late = ann.post(PATH, json=BODY)
        next_response = ann.get("/health/live")

        assert is_unavailable(late)
        assert next_response.status_code == 200
        assert ann.get("/health/ready").status_code == 200


async def test_response_after_the_deadline_is_dropped() -> None:
    sent: list[Message] = []

    async def slow(_scope: Scope, _receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.1)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"late"})

    async def receive() -> Message:
        raise AssertionError("the body must not be read")

    async def record(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "state": {"request_id": "x"}}
    await Deadline(slow, seconds=0.01)(scope, receive, record)

    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == 503


def test_incomplete_body_returns_503_at_the_deadline(settings: Settings, issuer: Issuer) -> None:
    with service_with(settings, issuer, request_timeout_seconds=1) as ann:
        url = ann.base_url
        head = [
            f"POST {PATH} HTTP/1.1",
            f"Host: {url.host}",
            f"Authorization: {ann.headers['Authorization']}",
            "Content-Type: application/json",
            "Content-Length: 20",
        ]
        with socket.create_connection((url.host, url.port or 80), timeout=5) as connection:
            connection.sendall("\r\n".join([*head, "", '{"title"']).encode())
            response = connection.recv(65536)

        assert response.startswith(b"HTTP/1.1 503 ")
        assert texts(ann) == []


def test_missing_tables_return_503_until_they_are_migrated(
    settings: Settings, issuer: Issuer, alembic_config: alembic.config.Config
) -> None:
    with service_with(settings, issuer) as ann:
        alembic.command.downgrade(alembic_config, "base")
        before = ann.post(PATH, json=BODY)
        alembic.command.upgrade(alembic_config, "head")

        assert is_unavailable(before)
        assert ann.post(PATH, json=BODY).status_code == 201


def test_cause_of_a_503_is_logged_but_not_returned(settings: Settings, issuer: Issuer) -> None:
    with (
        service_with(settings, issuer, database_url=SecretStr(UNREACHABLE_URL)) as ann,
        capture_logs() as logged,
    ):
        response = ann.get(PATH)

    assert is_unavailable(response)
    assert set(response.json()) == {"type", "title", "status", "detail", "request_id"}
    assert response.json()["detail"] == "The service is temporarily unavailable. Try again."
    assert logged[0]["reason"].startswith("database: ")
