"""Tokens for tests, good and bad, put together by hand: a library would refuse to make most."""

import json
import time
from base64 import urlsafe_b64encode
from typing import Any

from tests.issuer import Issuer

BETTER_AUTH_URL = "http://localhost:3000"
AUDIENCE = "http://localhost:8000"

ABSENT: Any = object()
"""Stands for a member that is left out."""


def encode(part: bytes | dict[str, Any]) -> str:
    """A segment: bytes as they are, or an object as JSON; base64url without padding."""
    if isinstance(part, dict):
        part = json.dumps(
            {name: value for name, value in part.items() if value is not ABSENT}
        ).encode()
    return urlsafe_b64encode(part).rstrip(b"=").decode()


def sign(issuer: Issuer, header: bytes | dict[str, Any], payload: bytes | dict[str, Any]) -> str:
    """A token with a good signature, whatever is in it."""
    signed = f"{encode(header)}.{encode(payload)}"
    return f"{signed}.{encode(issuer.signature(signed.encode()))}"


def claims(**changes: Any) -> dict[str, Any]:
    """What Better Auth puts into a token, with `changes`."""
    now = int(time.time())
    usual = {"iat": now, "exp": now + 300, "sub": "ann", "iss": BETTER_AUTH_URL, "aud": AUDIENCE}
    return usual | changes


def token(issuer: Issuer, *, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """A good token but for `changes` to its claims and to its `header`."""
    return sign(issuer, issuer.header | (header or {}), claims(**changes))
