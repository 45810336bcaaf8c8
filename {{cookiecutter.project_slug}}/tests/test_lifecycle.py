"""The service as a process: startup, invalid settings, and graceful shutdown."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import httpx2
import pytest
import uvicorn
from pydantic import SecretStr
from sqlalchemy import text

from app.__main__ import main
from app.config import PROJECT, Settings
from app.database import Database
from app.errors import EXIT_UNAVAILABLE
from tests.conftest import NO_TLS
from tests.database import UNREACHABLE_URL, locked_database
from tests.issuer import Issuer
from tests.sample_resource import BODY, PATH
from tests.tokens import token

pytestmark = pytest.mark.slow

REQUIRED = [name for name, field in Settings.model_fields.items() if field.is_required()]
DEFAULT_PORT = Settings.model_fields["port"].default
TIMEOUT = 60  # seconds, on a busy machine


def in_environment(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(value)
    return "" if value is None else str(value)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


class Process:
    """`python -m app`, or another module, on a free port, with a client for it."""

    def __init__(self, settings: Settings, command: str = "app") -> None:
        """Start the process. A free port replaces the default one."""
        port = free_port() if settings.port == DEFAULT_PORT else settings.port
        self.client = httpx2.Client(
            base_url=f"http://127.0.0.1:{port}", verify=NO_TLS, timeout=TIMEOUT
        )
        variables = {name.upper(): in_environment(value) for name, value in settings}
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command.format(port=port).split()],
            env=os.environ | variables | {"PORT": str(port), "PYTHONPATH": str(PROJECT)},
            stderr=subprocess.PIPE,
            text=True,
        )

    def status(self, path: str) -> int | None:
        """Return the status of a GET request, or None if the service does not respond."""
        with suppress(httpx2.TransportError):
            return self.client.get(path).status_code
        return None

    def wait_for(self, path: str, status: int | None) -> None:
        deadline = time.monotonic() + TIMEOUT
        while self.status(path) != status:
            assert time.monotonic() < deadline, self.end()
            time.sleep(0.02)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def end(self) -> tuple[int, str]:
        """Wait for the end of the process. Return its exit code and stderr."""
        _, printed = self._process.communicate(timeout=TIMEOUT)
        return self._process.returncode, printed


@contextmanager
def running(settings: Settings, command: str = "app", /, **changes: object) -> Iterator[Process]:
    process = Process(settings.model_copy(update=changes), command)
    with process.client:
        try:
            yield process
        finally:
            process.stop()
            process.end()


def test_settings_from_env_file_reach_the_server(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("FORWARDED_ALLOW_IPS=192.0.2.1\nKEEP_ALIVE_SECONDS=620\n")
    variables: dict[str, Any] = {
        name: in_environment(value) for name, value in settings if name in REQUIRED
    }
    arguments: dict[str, Any] = {}
    monkeypatch.setitem(Settings.model_config, "env_file", env_file)
    monkeypatch.setattr(Settings, "load", lambda: Settings(**variables, port=free_port()))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(uvicorn, "run", lambda *_, **given: arguments.update(given))

    main()

    assert arguments["forwarded_allow_ips"] == "192.0.2.1"
    assert arguments["timeout_keep_alive"] == 620


@pytest.mark.usefixtures("service")
def test_service_migrates_at_start_and_finishes_its_requests_at_shutdown(
    settings: Settings,
    issuer: Issuer,
    database_url: str,
    alembic_config: alembic.config.Config,
) -> None:
    alembic.command.downgrade(alembic_config, "base")
    headers = {"Authorization": f"Bearer {token(issuer)}"}
    with running(settings, drain_seconds=0.5) as process, ThreadPoolExecutor() as threads:
        process.wait_for("/health/ready", 200)
        with locked_database(database_url):
            slow = threads.submit(process.client.post, PATH, json=BODY, headers=headers)
            time.sleep(0.2)
            process.stop()
            process.wait_for("/health/ready", 503)
            while_draining = process.status("/health/live")
            process.wait_for("/health/live", None)

        assert slow.result().status_code == 201
        assert while_draining == 200
        code, printed = process.end()
        assert code == 0
        assert "migrated to" in printed


def test_service_with_unreachable_database_is_alive_but_not_ready(settings: Settings) -> None:
    unreachable = {"database_url": SecretStr(UNREACHABLE_URL), "drain_seconds": 0, "workers": 2}
    with running(settings, **unreachable) as process:
        process.wait_for("/health/live", 200)
        ready = process.status("/health/ready")
        process.stop()

        assert ready == 503
        code, printed = process.end()
        assert code == 0
        assert "database not reached" in printed


def test_port_in_use_stops_the_start_with_one_line(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running(settings, port=port) as process:
            code, printed = process.end()

    assert code == 1
    assert printed == (
        f"PORT and HOST: cannot listen on port {port} of 127.0.0.1: Address already in use. "
        "Stop the process that uses the port, or set another PORT.\n"
    )


def test_host_that_is_not_an_address_is_ignored_with_one_warning(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Start in another folder, which has another Alembic configuration.
    (other := tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = other\n")
    monkeypatch.setenv("ALEMBIC_CONFIG", str(other))
    monkeypatch.chdir(tmp_path)
    with running(settings, host="x86_64-conda-linux-gnu") as process:
        process.wait_for("/health/live", 200)
        process.stop()
        code, printed = process.end()

    assert code == 0
    assert printed.count("HOST is ignored") == 1
    assert "x86_64" not in printed


@pytest.mark.usefixtures("service")
async def test_failed_migration_stops_the_start(settings: Settings) -> None:
    database = Database(settings)
    [newest] = await database.run(text("SELECT version_num FROM alembic_version"))
    change = text("UPDATE alembic_version SET version_num = :version_num")
    await database.run(change, {"version_num": "later"})
    try:
        with running(settings) as process:
            code, printed = process.end()
    finally:
        await database.run(change, newest)
        await database.close()

    assert code not in (0, EXIT_UNAVAILABLE)
    assert printed == (
        "Cannot migrate: the database is at revision later, which no file in migrations/versions "
        "has. Use the version of the service that has this revision, or restore its file.\n"
    )
