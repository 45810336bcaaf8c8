"""Parse DATABASE_URL for SQLite: `sqlite:///` and a path, absolute or relative to the project."""

import re
import stat
from pathlib import Path
from urllib.parse import quote, unquote

SCHEMES = ("sqlite", "sqlite+aiosqlite")


def normalized(url: str, folder: Path) -> str:
    """Return the URL with an absolute path. Raises ValueError if it cannot be honored."""
    return f"sqlite:///{quote(str(database_file(url, folder)))}"


def database_file(url: str, folder: Path) -> Path:
    """Return the path of the database file. It may be missing, but its folder must exist.

    Relative paths are relative to `folder`. Raises ValueError, with the rule, for any other URL.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in SCHEMES:
        raise ValueError("must be a sqlite:// URL")
    path, _, query = rest.partition("?")
    if query:
        name = query.partition("=")[0]
        named = f"the parameter {name}" if re.fullmatch(r"\w{1,40}", name) else "a parameter"
        raise ValueError(f"{named} is not supported: remove the ? and everything after it")
    if not path.startswith("/"):
        raise ValueError("must have three slashes before a relative path, four if it is absolute")
    name = _decoded(path.removeprefix("/"))
    if name in ("", ":memory:"):
        raise ValueError("must name a file: connections do not share an in-memory database")
    file = folder / name
    try:
        if not stat.S_ISDIR(file.parent.stat().st_mode):
            raise NotADirectoryError
        is_folder = file.is_dir()
    except PermissionError:
        is_folder = False  # as with any unreachable database, the service starts but is not ready
    except OSError:
        raise ValueError(f"the folder {file.parent} does not exist: create it") from None
    if is_folder or name.endswith("/"):
        raise ValueError(f"must name a file, but {file} is a folder")
    return file


def _decoded(path: str) -> str:
    try:
        if re.search(r"%(?![0-9A-Fa-f]{2})|%00", path):
            raise ValueError
        return unquote(path, errors="strict")
    except ValueError:
        raise ValueError("a % must start a UTF-8 byte such as %20; write %25 for a %") from None
