"""The template's own commands, in a fresh copy of it."""

import os
import re
import shlex
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from urllib.error import URLError

import pytest
from conftest import clean_environment, copy_template


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "with spaces"
    folder.mkdir()
    copy_template(folder, "Makefile", "pyproject.toml")
    return folder


def make(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments], cwd=clone, env=clean_environment(), capture_output=True, text=True
    )


@contextmanager
def serving(clone: Path, url: str, *arguments: str) -> Iterator[Path]:
    """Run make until the block ends, which begins when the URL answers; yields what it prints."""
    log = clone / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            ["make", *arguments],
            cwd=clone,
            env=clean_environment(),
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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_the_demo_serves_and_its_two_lines_create_a_task(clone: Path) -> None:
    address = f"http://127.0.0.1:{(port := free_port())}"

    with serving(clone, f"{address}/health/live", "demo", f"PORT={port}") as log:
        [get_token] = re.findall(r"^TOKEN=\$\((.*)\)$", log.read_text(), re.MULTILINE)
        [create_task] = re.findall(r"^curl .*$", log.read_text(), re.MULTILINE)
        token = make(clone, *shlex.split(get_token)[1:]).stdout.strip()
        # Not by curl itself, which a machine with Python, make and git need not have.
        _, url, *options = shlex.split(create_task.replace("$TOKEN", token))
        given = [*pairwise(options)]
        headers = dict(value.split(": ", 1) for option, value in given if option == "-H")
        [body] = [value.encode() for option, value in given if option == "-d"]
        with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as response:
            assert response.status == 201
            assert response.headers["Location"].startswith("/api/v1/tasks/")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["PYTHON="], "Python >= 3.11 is needed: make PYTHON=/path/to/python3.11"),
        (["UV=/bin/false"], "The tools could not be installed: is there a network?"),
    ],
)
def test_says_in_a_line_what_a_machine_lacks(clone: Path, arguments: list[str], said: str) -> None:
    done = make(clone, "test", *arguments)

    assert done.returncode != 0
    assert said in done.stderr.splitlines()


def test_help_lists_every_command(clone: Path) -> None:
    targets = re.findall(r"^([a-z]+):", (clone / "Makefile").read_text(), re.MULTILINE)

    listed = re.findall(r"^  make (\w+)", make(clone).stdout, re.MULTILINE)
    assert listed == [target for target in targets if target != "python"]
