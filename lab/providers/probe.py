"""Try a project's service with each of several database URLs.

Runs with the project's Python, in its folder, and reads a JSON list of URLs from standard input.
Prints a JSON list in a line for each: the outcome, and the seconds until it was known.
The outcome is "" if the database works, "refused: …" if the service would not start, and otherwise
the reason in the log.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))

from pydantic import SecretStr, ValidationError

import app.models  # noqa: F401 - registers the tables that ping looks for
from app.config import DatabaseSettings
from app.database import Database
from app.errors import Unavailable


async def outcome(url: str) -> str:
    try:
        settings = DatabaseSettings(database_url=SecretStr(url))
    except ValidationError as error:
        return f"refused: {error.errors()[0]['msg']}"
    database = Database(settings)
    try:
        await database.ping()
    except Unavailable as error:
        return str(error.reason)
    finally:
        await database.close()
    return ""


async def main() -> None:
    for url in json.load(sys.stdin):
        began = time.monotonic()
        print(json.dumps([await outcome(url), time.monotonic() - began]), flush=True)


asyncio.run(main())
