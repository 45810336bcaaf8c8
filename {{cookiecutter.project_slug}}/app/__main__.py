"""`python -m app`: migrate the database, then serve."""

import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import structlog
import uvicorn

from app.config import PROJECT, ConfigurationError, Settings
from app.errors import EXIT_UNAVAILABLE
from app.logging import configure_logging
from app.server.http_protocol import HttpProtocol

ALEMBIC = [sys.executable, "-m", "alembic"]

ADVICE = {
    errno.EADDRINUSE: "Stop the process that uses the port, or set another PORT.",
    errno.EACCES: "Set a PORT that needs no privileges: 1024 or above.",
    errno.EADDRNOTAVAIL: "Set HOST to an address of this machine, or 0.0.0.0 for all of them.",
}


def main(reload_dirs: list[str] | None = None) -> None:
    """Migrate, then serve. With `reload_dirs`, also restart when a Python file in them changes."""
    try:
        settings = Settings.load()
    except ConfigurationError as error:
        raise SystemExit(str(error)) from None
    configure_logging()
    os.environ.pop("ALEMBIC_CONFIG", None)  # may name another project's configuration file
    if (os.environ.get("HOST") or settings.host) != settings.host:
        structlog.get_logger().warning(
            "HOST is ignored: it is not an IP address, so it was probably set by another tool",
            listening_on=settings.host,
        )
    check_port(settings)
    # After a graceful shutdown, uvicorn raises the signal again. A requested stop is not a failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    code = subprocess.run([*ALEMBIC, "upgrade", "head"], cwd=PROJECT, check=False).returncode
    if code not in (0, EXIT_UNAVAILABLE):
        sys.exit(code)
    with migrating_later() if code else nullcontext():
        uvicorn.run(
            "app.main:create_app",
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            forwarded_allow_ips=settings.forwarded_allow_ips,
            timeout_keep_alive=settings.keep_alive_seconds,
            timeout_graceful_shutdown=settings.shutdown_seconds,
            http=HttpProtocol,
            log_config=None,
            access_log=False,
            server_header=False,
            reload=bool(reload_dirs),
            reload_dirs=reload_dirs,
        )


def check_port(settings: Settings) -> None:
    """Exit with one line, before migrating, if the service cannot listen on HOST and PORT."""
    host, port = settings.host, settings.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        advice = ADVICE.get(error.errno or 0, "Set another PORT or HOST.")
        raise SystemExit(
            f"PORT and HOST: cannot listen on port {port} of {host}: "
            f"{os.strerror(error.errno or 0)}. {advice}"
        ) from None


@contextmanager
def migrating_later() -> Iterator[None]:
    """Run the migrations in the background, once the database is reachable."""
    with subprocess.Popen([*ALEMBIC, "-x", "wait", "upgrade", "head"], cwd=PROJECT) as migration:
        try:
            yield
        finally:
            migration.terminate()


if __name__ == "__main__":
    main()
