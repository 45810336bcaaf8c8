"""The template's own commands, in a fresh copy of it, and what projects' share with them."""

import json
import os
import re
import shlex
import shutil
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
from conftest import Machine, cannot_run, clean_environment, copy_template


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


OLD = "exit 1"
WITHOUT_VENV = """case "$*" in *venv*) exit 1 ;; esac"""
WITHOUT_NETWORK = (
    """case "$*" in *venv*) mkdir -p .tools/bin; ln -sf /bin/false .tools/bin/pip ;; esac"""
)
INSTALLING = "Installing uv into .tools"
TOO_OLD = "Python >= 3.11 is needed: make PYTHON=/path/to/python3.11"


@pytest.fixture(params=["template", "project"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with commands of its own: the template, or a project."""
    if request.param == "template":
        return request.getfixturevalue("clone")
    return request.getfixturevalue("machine").render().path


def pretend(folder: Path, name: str, lines: str) -> str:
    """A program of this name that does these lines, as a setting for make."""
    program = folder / f"pretended-{name}"
    program.write_text(f"#!/bin/sh\n{lines}\n")
    program.chmod(0o755)
    return f"{name}={program}"


@pytest.mark.parametrize(
    ("python", "uv", "said"),
    [
        (None, ":", [TOO_OLD]),
        (OLD, ":", [TOO_OLD]),
        (
            WITHOUT_VENV,
            None,
            [INSTALLING, "Python's venv module does not work here: is python3-venv installed?"],
        ),
        (
            WITHOUT_NETWORK,
            None,
            [INSTALLING, "uv could not be installed: is there a network?"],
        ),
    ],
    ids=["no Python", "old Python", "no venv", "no network"],
)
def test_says_in_a_line_what_a_machine_lacks(
    house: Path, tmp_path: Path, python: str | None, uv: str | None, said: list[str]
) -> None:
    pretended = [
        pretend(tmp_path, "PYTHON", python) if python else "PYTHON=",
        pretend(tmp_path, "UV", uv) if uv else "UV=.tools/bin/uv",
    ]

    done = make(house, "test", *pretended)

    assert done.returncode != 0
    assert done.stdout == ""
    assert [line for line in done.stderr.splitlines() if not line.startswith("make: ")] == said


def test_says_what_it_does_until_the_network_is_away(house: Path, tmp_path: Path) -> None:
    done = make(house, "test", pretend(tmp_path, "UV", "echo The reason >&2; exit 1"))

    doing, reason, advice, _ = done.stderr.splitlines()
    assert re.fullmatch(r"Installing .* into \.venv \(may take a minute\)", doing)
    assert reason == "The reason"
    assert re.fullmatch(r"The \w+ could not be installed: is there a network\?", advice)


def test_a_token_is_printed_alone_though_much_was_installed_for_it(
    machine: Machine, tmp_path: Path
) -> None:
    project = machine.render()
    uv = pretend(tmp_path, "UV", "if [ $1 = sync ]; then mkdir .venv; else echo token; fi")

    done = make(project.path, "-s", "token", uv)

    assert done.stdout == "token\n"
    assert done.stderr == "Installing dependencies into .venv (may take a minute)\n"


def test_the_frontend_is_not_installed_by_a_node_that_is_too_old(machine: Machine) -> None:
    if not shutil.which("npm"):
        cannot_run("npm is missing")
    frontend = machine.render().path / "frontend"
    package = json.loads((frontend / "package.json").read_text())
    asked = {"engines": {"node": package["engines"]["node"].replace("20", "2000")}}
    (frontend / "package.json").write_text(json.dumps(asked))

    done = machine.run("npm", "install", "--offline", cwd=frontend)

    assert done.returncode != 0
    assert f"Required: {json.dumps(asked['engines'], separators=(',', ':'))}" in done.stderr


def test_help_lists_every_command(clone: Path) -> None:
    targets = re.findall(r"^([a-z]+):", (clone / "Makefile").read_text(), re.MULTILINE)

    listed = re.findall(r"^  make (\w+)", make(clone).stdout, re.MULTILINE)
    assert listed == [target for target in targets if target != "python"]
