"""`make demo` in a fresh copy of the template installs everything it needs and serves the API."""

import os
import re
import shlex
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from urllib.error import URLError

import pytest

from lab.servers import free_ports
from tests.rendering import clean_environment, copy_template

# Without the tests' own uv on the PATH, so that the demo installs its own.
ENVIRONMENT = clean_environment() | {"PATH": os.environ["PATH"]}


@contextmanager
def serving(clone: Path, url: str, *arguments: str) -> Iterator[Path]:
    """Run make until the block ends. Wait until the URL answers; yield the path of make's log."""
    log = clone / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            ["make", *arguments],
            cwd=clone,
            env=ENVIRONMENT,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 300
        while process.poll() is None and time.monotonic() < deadline:
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except URLError:
                time.sleep(0.2)
        else:
            pytest.fail(log.read_text())
        yield log
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def test_demo_serves_and_its_printed_commands_create_a_task(tmp_path: Path) -> None:
    clone = tmp_path / "100%c with spaces, # and '"
    clone.mkdir()
    copy_template(clone, "Makefile", "pyproject.toml")
    [port] = free_ports(1)
    address = f"http://127.0.0.1:{port}"

    with serving(clone, f"{address}/health/live", "demo", f"PORT={port}") as log:
        [get_token] = re.findall(r"^TOKEN=\$\((.*)\)$", log.read_text(), re.MULTILINE)
        [create_task] = re.findall(r"^curl .*$", log.read_text(), re.MULTILINE)
        token = subprocess.check_output(
            shlex.split(get_token), cwd=clone, env=ENVIRONMENT, text=True
        )
        # Without curl: the tests require only Python, make and git.
        _, url, *options = shlex.split(create_task.replace("$TOKEN", token.strip()))
        given = [*pairwise(options)]
        headers = dict(value.split(": ", 1) for option, value in given if option == "-H")
        [body] = [value.encode() for option, value in given if option == "-d"]
        with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as response:
            assert response.status == 201
            assert response.headers["Location"].startswith("/api/v1/tasks/")
