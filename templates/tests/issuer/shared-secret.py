"""Signs tokens as Better Auth does with `jwt.sign` and the shared secret."""

import hmac
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from jwt import PyJWK
from jwt.utils import base64url_encode


class Issuer:
    algorithm = "HS256"

    def __init__(self) -> None:
        self.secret = secrets.token_urlsafe(48)
        self.header = {"alg": self.algorithm, "typ": "JWT"}

    @property
    def settings(self) -> dict[str, Any]:
        """The settings with which the service trusts this issuer."""
        return {"better_auth_secret": self.secret}

    @property
    def key(self) -> PyJWK:
        """The key that verifies its tokens."""
        secret = base64url_encode(self.secret.encode()).decode()
        return PyJWK({"kty": "oct", "alg": self.algorithm, "k": secret})

    def signature(self, signed: bytes) -> bytes:
        return hmac.digest(self.secret.encode(), signed, sha256)


@contextmanager
def running_issuer() -> Iterator[Issuer]:
    yield Issuer()
