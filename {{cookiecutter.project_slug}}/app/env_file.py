"""Check `.env`: every program that reads it must find the same values."""

import io
import re
from pathlib import Path

from dotenv.parser import Binding, parse_stream

# Next.js expands `$` and drops backticks, and Node keeps tabs. Programs also differ in the escapes
# that they support inside quotes, and in where comments can begin. python-dotenv, Next.js, Node and
# Docker Compose read everything else in the same way. The frontend checks its files by these rules.
NAME = re.compile(r"[ \n]*(?:export +)?[A-Za-z_]\w* *= *", re.ASCII)
STATEMENT = re.compile(
    NAME.pattern
    + r"""("[^"$`\\\r]*"|'[^'$`\\\r]*'|[^\s"'#$`][^#$`\t\r\n]*)?( +\#[^\r\n]*)? *\n?""",
    re.ASCII,
)


class EnvFileError(Exception):
    """`.env` cannot be used. The message is one line that names the file, never a value."""


def check_env_file(path: Path) -> None:
    """Raise EnvFileError if programs could read the file differently. A missing file is fine."""
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except FileNotFoundError:
        return
    except OSError as error:
        raise EnvFileError(
            f"{path.name} cannot be read: {error.strerror}. Make it a file that this user can read."
        ) from None
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # UTF-16 contains zero bytes, and can be valid UTF-8
        raise EnvFileError(f"{path.name} is not UTF-8 text. Save it as UTF-8.")
    for statement in parse_stream(io.StringIO(text)):
        if problem := _problem(statement):
            raise EnvFileError(f"{path.name}: {problem}")


def _problem(statement: Binding) -> str | None:
    """Return what is wrong with a statement; None if it is valid, a comment or blank."""
    text, name = statement.original.string, statement.key or ""
    if not text.strip() or text.lstrip().startswith("#"):
        return None
    if statement.value is None or not NAME.match(text):
        line = statement.original.line + text.partition(text.strip())[0].count("\n")
        return f"line {line} is not NAME=value."
    if re.search("[$`]", statement.value):
        return (
            f"{name} contains $ or a backtick, which other programs expand: choose another value."
        )
    if not (parts := STATEMENT.fullmatch(text)):
        return (
            f"{name} would be read differently by other programs: put a value with # in quotes, "
            "and use no tabs, and no quotes or backslashes inside quotes."
        )
    if not re.sub(r"[\n\t]", "", parts[1] or "").isprintable():
        return f"{name} contains an invisible character: type the value again."
    return None
