"""Valid and invalid tokens, assembled by hand: a JWT library would not sign most invalid ones."""

import json
import time
from base64 import urlsafe_b64encode
from typing import Any

from tests.issuer import Issuer

BETTER_AUTH_URL = "http://localhost:3000"
AUDIENCE = "http://localhost:8000"


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT: Any = _Absent()
"""Removes a claim or header parameter: `token(issuer, exp=ABSENT)`."""


def encode(part: bytes | dict[str, Any]) -> str:
    """Return bytes, or an object as JSON, in base64url without padding."""
    if isinstance(part, dict):
        part = json.dumps(
            {name: value for name, value in part.items() if value is not ABSENT}
        ).encode()
    return urlsafe_b64encode(part).rstrip(b"=").decode()


def sign(issuer: Issuer, header: bytes | dict[str, Any], payload: bytes | dict[str, Any]) -> str:
    """Return a token with a valid signature. Its header and payload may be invalid."""
    signed = f"{encode(header)}.{encode(payload)}"
    return f"{signed}.{encode(issuer.signature(signed.encode()))}"


def claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of Better Auth's tokens, with `changes`."""
    now = int(time.time())
    valid = {"iat": now, "exp": now + 300, "sub": "ann", "iss": BETTER_AUTH_URL, "aud": AUDIENCE}
    return valid | changes


def token(issuer: Issuer, *, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """Return a valid token, except for `changes` to its claims and for its `header`."""
    return sign(issuer, issuer.header | (header or {}), claims(**changes))
