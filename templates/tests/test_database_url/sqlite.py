"""DATABASE_URL names a file, relative to the project; an invalid URL stops the start."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from app.config import PROJECT, DatabaseSettings
from app.database_url import database_file, normalized


def rule(url: str) -> str:
    """Return the message with which the URL is rejected."""
    with pytest.raises(ValidationError) as caught:
        DatabaseSettings(database_url=SecretStr(url))
    [error] = caught.value.errors()
    return error["msg"].removeprefix("Value error, ")


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("tasks.db", "tasks.db"),
        ("./tasks.db", "tasks.db"),
        ("data/tasks.db", "data/tasks.db"),
        ("my data/t%C3%A4sks%20%23%3F%25.db", "my data/täsks #?%.db"),
        ("a#b+c.db", "a#b+c.db"),
    ],
)
@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite"])
def test_relative_path_is_relative_to_the_project(
    tmp_path: Path, scheme: str, path: str, file: str
) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    relative = f"{scheme}:///{path}"

    assert database_file(relative, tmp_path) == tmp_path / file
    assert database_file(normalized(relative, tmp_path), PROJECT) == tmp_path / file


def test_absolute_path_is_kept(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'tasks.db'}"

    assert database_file(url, PROJECT) == tmp_path / "tasks.db"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite://", "must have three slashes"),
        ("sqlite://tasks.db", "must have three slashes"),
        ("sqlite:///", "must name a file"),
        ("sqlite:///:memory:", "must name a file: connections do not share"),
        ("sqlite:///app", f"must name a file, but {re.escape(str(PROJECT / 'app'))} is a folder"),
        ("sqlite:///app/", "must name a file"),
        ("sqlite:///missing/tasks.db", "the folder .*missing does not exist: create it"),
        ("sqlite:///README.md/tasks.db", "the folder .*README.md does not exist: create it"),
        ("sqlite:///tasks.db?mode=ro", "the parameter mode is not supported"),
        ("sqlite:///file:tasks.db?uri=true", "the parameter uri is not supported"),
        ("sqlite:///tasks.db?%20", "a parameter is not supported"),
        ("sqlite:///100%.db", "a % must start a UTF-8 byte"),
        ("sqlite:///%ff.db", "a % must start a UTF-8 byte"),
        ("sqlite:///%00.db", "a % must start a UTF-8 byte"),
    ],
)
def test_unsupported_url_is_rejected_with_the_reason(url: str, expected: str) -> None:
    refused = rule(url)

    assert re.match(expected, refused), refused


def test_folder_without_access_permission_does_not_stop_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> bool:
        raise PermissionError

    monkeypatch.setattr(Path, "is_dir", fail)

    assert database_file("sqlite:///tasks.db", tmp_path) == tmp_path / "tasks.db"


@pytest.mark.slow
def test_command_started_in_another_folder_uses_the_same_file(tmp_path: Path) -> None:
    file = Path("tests") / f"{tmp_path.name}.db"
    environment = os.environ | {"DATABASE_URL": f"sqlite:///{file}", "PYTHONPATH": str(PROJECT)}
    alembic = [
        sys.executable,
        "-m",
        "alembic",
        "-c",
        str(PROJECT / "pyproject.toml"),
        "upgrade",
        "head",
    ]
    try:
        subprocess.run(alembic, cwd=tmp_path, env=environment, check=True, capture_output=True)
        found = (PROJECT / file).stat().st_size
    finally:
        (PROJECT / file).unlink(missing_ok=True)

    assert found
    assert [*tmp_path.iterdir()] == []
