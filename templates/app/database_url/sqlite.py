"""DATABASE_URL of SQLite: `sqlite:///` and the path of a file, relative to the project or full."""

import re
import stat
from pathlib import Path
from urllib.parse import quote, unquote

SCHEMES = ("sqlite", "sqlite+aiosqlite")


def normalized(url: str, folder: Path) -> str:
    """Return the URL with an absolute path. Raises ValueError if it cannot be honored."""
    return f"sqlite:///{quote(str(database_file(url, folder)))}"


def database_file(url: str, folder: Path) -> Path:
    """Return the path of the database, which need not exist yet, though its folder has to.

    Relative paths are relative to `folder`. Raises ValueError, with the rule, for any other URL.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in SCHEMES:
        raise ValueError("must be a sqlite:// URL")
    path, _, query = rest.partition("?")
    if query:
        name = query.partition("=")[0]
        named = f"the parameter {name}" if re.fullmatch(r"\w{1,40}", name) else "a parameter"
        raise ValueError(f"{named} is not supported: remove everything from the question mark on")
    if not path.startswith("/"):
        raise ValueError("must have three slashes before a relative path, four before a full one")
    name = _decoded(path.removeprefix("/"))
    if name in ("", ":memory:"):
        raise ValueError("must name a file: connections do not share a database in memory")
    file = folder / name
    try:
        if not stat.S_ISDIR(file.parent.stat().st_mode):
            raise NotADirectoryError
        is_folder = file.is_dir()
    except PermissionError:
        is_folder = False  # as for any database out of reach: the service starts, and is not ready
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
        raise ValueError("a % must begin a byte of UTF-8, such as %20; write %25 for %") from None
