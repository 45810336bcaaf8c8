"""Checks tokens with PyJWT alone, as handwritten services usually do."""

import json
import os
import urllib.request

import jwt


def _key() -> tuple[str | jwt.PyJWK, str]:
    if secret := os.environ.get("BETTER_AUTH_SECRET"):
        return secret, "HS256"
    with urllib.request.urlopen(os.environ["JWKS_URL"]) as document:
        [key] = json.load(document)["keys"]
    return jwt.PyJWK(key), "EdDSA"


KEY, ALGORITHM = _key()
ISSUER, AUDIENCE = os.environ["BETTER_AUTH_URL"], os.environ["JWT_AUDIENCE"]


def subject(token: str) -> str:
    """Return the `sub` of a valid token. Raises jwt.PyJWTError for others."""
    claims = jwt.decode(token, KEY, algorithms=[ALGORITHM], issuer=ISSUER, audience=AUDIENCE)
    return claims["sub"]
