"""The caller by PyJWT alone, as a service that is written by hand usually does it."""

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
    """Raises jwt.PyJWTError."""
    claims = jwt.decode(token, KEY, algorithms=[ALGORITHM], issuer=ISSUER, audience=AUDIENCE)
    return claims["sub"]
