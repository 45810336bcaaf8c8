"""Running containers: health, restrictions, data and shutdown."""

import json
import re
import socket
import time

import httpx2
import pytest

from lab.containers.conftest import Deployment
from lab.e2e.users import ME, TASKS

PARTS = pytest.mark.parametrize("part", ["api", "frontend"])
USERS = {"api": "10001", "frontend": "1000"}


@PARTS
def test_container_runs_with_the_least_rights(deployment: Deployment, part: str) -> None:
    container = deployment.running[part]
    status = container.status()

    assert status["Uid"] == status["Gid"] == " ".join([USERS[part]] * 4)
    assert {int(status[f"Cap{name}"], 16) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}
    assert status["NoNewPrivs"] == "1"
    # The file system is read-only, and nothing tried to write to it.
    assert "read-only file system" not in container.printed().lower()


def test_user_of_the_frontend_creates_a_task_and_deletes_the_account(
    deployment: Deployment,
) -> None:
    with deployment.user() as ann:
        task = ann.add("Buy milk")
        token = ann.token()

        page = ann.site.get("/account")
        deleted = ann.auth("/delete-user", password="correct horse")

        after = ann.call("GET", TASKS, token=token).json()["items"]

    assert task["title"] == "Buy milk"
    assert page.status_code == 200
    # Erased by the frontend's server, which has to know the service's address.
    assert deleted.json()["success"]
    assert after == []


def test_frontend_serves_pages_and_their_files(deployment: Deployment) -> None:
    page = httpx2.get(f"{deployment.frontend_url}/sign-up", trust_env=False)
    files = re.findall(r'(?:src|href)="(/_next/static/[^"]+)"', page.text)

    assert page.status_code == 200
    assert f"connect-src 'self' {deployment.api_url};" in page.headers["Content-Security-Policy"]
    assert {path.rpartition(".")[2] for path in files} >= {"css", "js"}
    for path in files:
        assert httpx2.get(deployment.frontend_url + path, trust_env=False).status_code == 200


def test_documented_commands_migrate_the_tables_of_service_and_frontend(
    deployment: Deployment,
) -> None:
    settings = deployment.settings
    if deployment.database_url:
        del settings["BETTER_AUTH_SECRET"]

    again = deployment.migrate_frontend()
    deployment.api_image.once(
        *("alembic", "-x", "wait", "upgrade", "head"), volume=deployment.volumes[0], **settings
    )

    assert again == "Better Auth's tables: 0 created, 0 changed"


def test_task_is_kept_when_the_container_is_replaced(deployment: Deployment) -> None:
    with deployment.user() as ann:
        ann.add("Keep me")
        token = ann.token()
        old = deployment.running["api"]
        assert old.stop() == 0
        old.remove()

        deployment.start_api()

        assert ann.titles(token=token) == ["Keep me"]
        assert ann.call("DELETE", ME, token=token).status_code == 204


def test_request_in_flight_at_sigterm_is_answered_before_the_container_exits_with_0(
    deployment: Deployment,
) -> None:
    with deployment.user() as ann:
        token = ann.token()
        body = json.dumps({"title": "In flight"}).encode()
        head = (
            f"POST {TASKS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        container = deployment.running["api"]
        with socket.create_connection(("127.0.0.1", deployment.api_port)) as connection:
            connection.settimeout(10)
            connection.sendall(head.encode() + body[:5])
            container.signal("TERM")
            time.sleep(2)  # longer than DRAIN_SECONDS: new connections are refused by now
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", deployment.api_port))
            connection.sendall(body[5:])
            answer = connection.recv(65536).decode()
        code = container.exit_code()
        container.remove()
        deployment.start_api()
        titles = ann.titles(token=token)

    assert answer.startswith("HTTP/1.1 201 ")
    assert code == 0
    assert titles == ["In flight"]


def test_frontend_exits_with_0_on_sigterm(deployment: Deployment) -> None:
    container = deployment.running["frontend"]

    began = time.monotonic()
    code = container.stop()
    seconds = time.monotonic() - began
    container.remove()
    deployment.start_frontend()

    assert code == 0
    assert seconds < 10


@PARTS
def test_container_that_hangs_turns_unhealthy_until_it_responds(
    deployment: Deployment, part: str
) -> None:
    container = deployment.running[part]

    container.signal("STOP")
    try:
        container.wait_until("unhealthy")
    finally:
        container.signal("CONT")

    container.wait_until("healthy")


def test_invalid_setting_stops_the_service_with_one_line(deployment: Deployment) -> None:
    settings = deployment.settings | {"JWT_LEEWAY_SECONDS": "600"}
    container = deployment.api_image.start(volume=deployment.volumes[0], **settings)
    code, printed = container.exit_code(), container.printed()
    container.remove()

    assert code != 0
    [line] = printed.splitlines()
    assert line.startswith("JWT_LEEWAY_SECONDS")
