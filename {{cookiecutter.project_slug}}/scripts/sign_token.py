"""Print a bearer token like those of Better Auth, for trying the API by hand.

Usage: SUB=ann python -m scripts.sign_token [--scope="tasks:read"] [--role=admin]
"""

import argparse
import os
import time

import jwt

from app.config import ConfigurationError, Settings

LIFETIME = 3600  # seconds; Better Auth's own tokens expire after five minutes

parser = argparse.ArgumentParser(prog="python -m scripts.sign_token")
parser.add_argument("--scope", help="issue the token to an application, with these scopes")
parser.add_argument("--role", help="the user's roles, separated by commas")
given = parser.parse_args()
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
claims |= {name: value for name, value in vars(given).items() if value is not None}
print(jwt.encode(claims, settings.better_auth_secret.get_secret_value(), algorithm="HS256"))
