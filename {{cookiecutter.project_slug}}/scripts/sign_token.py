"""Print a bearer token for trying the API by hand, as Better Auth would sign it.

Usage: SUB=ann python -m scripts.sign_token
"""

import os
import time

import jwt

from app.config import ConfigurationError, Settings

LIFETIME = 3600  # seconds; Better Auth's own tokens live for five minutes

try:
    settings = Settings.load()
except ConfigurationError as error:
    raise SystemExit(str(error)) from None
now = int(time.time())
claims = {
    "iss": settings.better_auth_url,
    "aud": settings.jwt_audience,
    "sub": os.environ.get("SUB") or "developer",
    "iat": now,
    "exp": now + LIFETIME,
}
print(jwt.encode(claims, settings.better_auth_secret.get_secret_value(), algorithm="HS256"))
