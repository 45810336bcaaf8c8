"""`python -m app`: bring the tables to the newest revision, then serve until told to stop."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import uvicorn

from app.config import PROJECT, ConfigurationError, Settings
from app.errors import EXIT_UNAVAILABLE
from app.logging import configure_logging

ALEMBIC = [sys.executable, "-m", "alembic"]


def main() -> None:
    try:
        settings = Settings.load()
    except ConfigurationError as error:
        raise SystemExit(str(error)) from None
    configure_logging()
    # uvicorn hands the signal on when all is answered: an end that was asked for is no failure.
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
            timeout_graceful_shutdown=settings.shutdown_seconds,
            # httptools, the usual one, takes trailers for headers, and lets headers grow.
            http="h11",
            log_config=None,
            access_log=False,
            server_header=False,
        )


@contextmanager
def migrating_later() -> Iterator[None]:
    """Migrates beside the block, once the database is back."""
    with subprocess.Popen([*ALEMBIC, "-x", "wait", "upgrade", "head"], cwd=PROJECT) as migration:
        try:
            yield
        finally:
            migration.terminate()


if __name__ == "__main__":
    main()
