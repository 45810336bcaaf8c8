"""A `.env` that other programs would parse differently is rejected with one line."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from app.config import PROJECT, ConfigurationError, DatabaseSettings, Settings
from app.env_file import EnvFileError, check_env_file

Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """`write(content)` writes the `.env` that settings are loaded from."""
    path = tmp_path / ".env"
    monkeypatch.setattr("app.config.PROJECT", tmp_path)
    monkeypatch.setitem(DatabaseSettings.model_config, "env_file", path)

    def write(content: str | bytes) -> Path:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.mark.parametrize(
    "content",
    [
        "DATABASE_POOL_SIZE=7",
        "# $HOME `date` \\ 'x\n\n  DATABASE_POOL_SIZE=7\n",
        "export DATABASE_POOL_SIZE = 7 # the pool's size: $5\n",
        "DATABASE_POOL_SIZE='7'\n",
        'DATABASE_POOL_SIZE="7" # seven\n',
        "DATABASE_POOL_SIZE=7\r\nX=\r\nY=1\r\n",
        "X='a # b'\nDATABASE_POOL_SIZE=7",
        'X=["http://a", "http://b"]\nDATABASE_POOL_SIZE=7',
        'X="a\nb"\nDATABASE_POOL_SIZE=7',
        "\ufeffDATABASE_POOL_SIZE=7\n",
        "X= # nothing\nDATABASE_POOL_SIZE=7\n",
    ],
)
def test_file_that_all_programs_parse_alike_is_accepted(write: Write, content: str) -> None:
    write(content)

    assert DatabaseSettings.load().database_pool_size == 7


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("A=1\nX=MARKER$HOME\n", ".env: X contains $ or a backtick"),
        ("X='MARKER$'\n", ".env: X contains $ or a backtick"),
        ("X=${MARKER}\n", ".env: X contains $ or a backtick"),
        ("X=`MARKER`\n", ".env: X contains $ or a backtick"),
        ("X=MARKER#1\n", ".env: X would be read differently by other programs: put a"),
        ("X=#MARKER\n", ".env: X would be read differently by other programs: put a"),
        ('X="MARKER\\n"\n', ".env: X would be read differently by other programs: put a"),
        ("X='MARKER\\''\n", ".env: X would be read differently by other programs: put a"),
        ("X=MARKER\t\n", ".env: X would be read differently by other programs: put a"),
        ("X=\tMARKER\n", ".env: X would be read differently by other programs: put a"),
        ("X=MARKER\rY=1\n", ".env: X would be read differently by other programs: put a"),
        ("X=MARKER\N{NO-BREAK SPACE}\n", ".env: X contains an invisible character"),
        ("X=MARKER\N{ZERO WIDTH SPACE}\n", ".env: X contains an invisible character"),
        ("A=1\n\n\nX: MARKER\n", ".env: line 4 is not NAME=value."),
        ("A=1\r\nMARKER\r\n", ".env: line 2 is not NAME=value."),
        ("MARKER-X=1\n", ".env: line 1 is not NAME=value."),
        ("'MARKER'=1\n", ".env: line 1 is not NAME=value."),
        ("X='MARKER\nY=1\n", ".env: line 1 is not NAME=value."),
        ("X='MARKER' 1\n", ".env: line 1 is not NAME=value."),
    ],
)
def test_line_that_programs_parse_differently_is_rejected_without_showing_its_value(
    write: Write, content: str, fault: str
) -> None:
    write(content)

    with pytest.raises(ConfigurationError) as caught:
        DatabaseSettings.load()

    assert str(caught.value).startswith(fault)
    assert "MARKER" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_file_that_is_not_utf8_is_rejected(write: Write, encoding: str) -> None:
    write("X=MÄRKER\n".encode(encoding))

    with pytest.raises(ConfigurationError, match=r"^\.env is not UTF-8 text"):
        DatabaseSettings.load()


def test_env_example_is_valid_and_lists_every_setting() -> None:
    example = PROJECT / ".env.example"

    check_env_file(example)
    listed = re.findall(r"(?m)^([A-Z_]+)=", example.read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(name.upper() for name in Settings.model_fields)


def test_unreadable_file_is_rejected_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(EnvFileError, match=r"cannot be read: Is a directory\."):
        check_env_file(tmp_path)


def test_missing_file_is_accepted(tmp_path: Path) -> None:
    check_env_file(tmp_path / ".env")
