"""Entity tags: the version of a resource, and which versions a request may change."""

import re
from collections.abc import Mapping
from typing import Any

from fastapi import Request

from app.repositories.owned import Versions

ENTITY_TAG = r'(?:W/)?"[!#-~]*"'  # the quoted part may have commas
MAX_TAGS = 32  # in `If-Match`; further ones are ignored


def etag(row: Mapping[str, Any]) -> str:
    """Return the `ETag` of a row: its version, in quotes."""
    return f'"{row["version"]}"'


def if_match(request: Request) -> Versions:
    """Return the versions in `If-Match` (RFC 9110, section 13.1.1); None without it and for `*`.

    Weak, foreign and malformed tags match no version. Handlers do not declare the header as a
    parameter, because FastAPI would validate it on each request; `app/openapi.py` documents it.
    """
    header = ", ".join(request.headers.getlist("if-match") or ["*"])
    if header == "*":
        return None
    if not re.fullmatch(rf"{ENTITY_TAG}(\s*,\s*{ENTITY_TAG})*", header):
        return frozenset()
    # Exactly as `etag` writes them, and no more digits than the column holds.
    tags = re.findall(ENTITY_TAG, header)[:MAX_TAGS]
    versions = [re.fullmatch(r'"([1-9][0-9]{0,8})"', tag) for tag in tags]
    return frozenset(int(version[1]) for version in versions if version)
