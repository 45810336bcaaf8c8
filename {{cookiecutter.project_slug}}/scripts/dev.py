"""The service, restarted when a file in app/ changes.

Usage: python -m scripts.dev

Migrations run only at the start, as with `python -m app`. A restart does not run them: a migration
that was just written may still need changes, and cannot be changed after it ran.
"""

import os

from app.__main__ import main
from app.config import PROJECT

if __name__ == "__main__":
    os.environ["DRAIN_SECONDS"] = "0"  # no load balancer has to notice
    main(reload_dirs=[str(PROJECT / "app")])
