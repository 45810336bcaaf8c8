"""Explain whether the service would accept a token, and if not, what to change.

Usage: TOKEN=… python -m scripts.doctor

The token is not an argument, because other users of the machine can see those.
"""

import asyncio
import json
import os
import re
import sys
import time
from base64 import urlsafe_b64decode
from datetime import UTC, datetime
from typing import Any

from app.config import ConfigurationError, Settings
from app.errors import Unauthenticated, Unavailable
from app.main import token_verifier
from app.reasons import Reason
from app.routers import scopes
from app.security.verifier import User

GET_ONE = "A signed-in user gets an access token from GET {better_auth_url}/api/auth/token."

# Text that users mistake for a token, or copy along with one.
BEARER = "It includes the word `Bearer`: give what follows it. Clients must send `Bearer` once."
PASTED = "It has spaces, quotes or braces in it: give the token alone."
SESSION = "It is Better Auth's session, from a cookie or its bearer() plugin. " + GET_ONE
OPAQUE = (
    "It is not a JWT: either Better Auth's session, or an application's access token that was "
    "requested without resource={jwt_audience}. " + GET_ONE
)
API_KEY = "It looks like an API key. Send it as x-api-key to GET {better_auth_url}/api/auth/token."
EMAIL = "It is from a link in one of Better Auth's emails, and is not for APIs. " + GET_ONE

DAMAGED = "It was cut or changed on the way, or Better Auth did not issue it. " + GET_ONE
NO_TIME = (
    "Better Auth sets exp and iat, in seconds since 1970. Leave them out of jwt.definePayload, and "
    "have jwt.sign pass its claims on as they are. Found: exp {exp}, iat {iat}, nbf {nbf}."
)
NOT_TEXT = (
    "Found scope {scope}, client_id {client_id}, azp {azp}. Better Auth's OAuth provider sets them "
    "as text. jwt.definePayload must return none of them, because each marks the token as an "
    "application's."
)
CLOCKS = (
    "The clock of this machine is behind, or the frontend's is ahead: set both by NTP. "
    "JWT_LEEWAY_SECONDS, now {jwt_leeway_seconds:g}, allows for 60 at most."
)


def explanations() -> dict[Reason, str]:
    """Return an explanation for every reason: what is wrong, and what to change."""
    # jinja: if cookiecutter.token_verification == "shared-secret"
    about_keys = {
        Reason.ALG_OF_ANOTHER_KEY: "Expected HS256, found {alg}. EdDSA is what Better Auth's "
        "jwt() plugin signs by default, and it has no option `algorithm` or `secret`: set jwt.sign "
        "as in docs/authentication.md, or choose token_verification=jwks when rendering this.",
        Reason.SIGNATURE: "The secrets differ, or the token was cut or changed on the "
        "way. BETTER_AUTH_SECRET must be the same here and in the frontend. While it is being "
        "replaced, BETTER_AUTH_SECRET_PREVIOUS is the old one. Restart what you have changed.",
    }
    # jinja: else
    about_keys = {
        Reason.ALG_UNKNOWN: "Expected EdDSA, ES256, ES512, RS256 or PS256, found {alg}. HS256 goes "
        "with the shared secret: take jwt.sign and jwks.remoteUrl out of Better Auth's jwt() "
        "plugin, or choose token_verification=shared-secret when rendering this.",
        Reason.KID_MISSING: "Its header names no key. " + DAMAGED,
        Reason.KID_UNKNOWN: "{jwks_url} has no usable key {kid}. The token is from "
        "another Better Auth, or its key was deleted or is of a kind that Better Auth does not "
        "make. JWKS_URL must be that of the frontend that issued the token.",
        Reason.NO_KEY_SET: "No keys came from {jwks_url}: the line above says why. Until "
        "they do, the service returns 503. Is the frontend running, and can this machine reach "
        "JWKS_URL? A 404 means that the jwt() plugin has jwks.remoteUrl, which is only for the "
        "shared secret: remove it.",
        Reason.ALG_OF_ANOTHER_KEY: "The key {kid} is not for {alg}. " + DAMAGED,
        Reason.SIGNATURE: "The key {kid} did not sign it. " + DAMAGED,
    }
    # jinja: endif
    return about_keys | {
        Reason.TOO_LONG: "Better Auth put the whole user into it: have jwt.definePayload "
        "return an empty object. `sub` is added in any case, and the service needs no more.",
        Reason.NOT_COMPACT: DAMAGED,
        Reason.NOT_BASE64URL: DAMAGED,
        Reason.NOT_CANONICAL: DAMAGED,
        Reason.NOT_JSON: DAMAGED,
        Reason.NOT_AN_OBJECT: DAMAGED,
        Reason.DUPLICATE_MEMBERS: DAMAGED,
        Reason.UNSUPPORTED_HEADER: DAMAGED,
        Reason.ALG_NOT_TEXT: DAMAGED,
        Reason.KID_INVALID: DAMAGED,
        Reason.TYP: "Expected JWT, at+jwt or none, found {typ}. " + GET_ONE,
        Reason.EXP_INVALID: NO_TIME,
        Reason.IAT_INVALID: NO_TIME,
        Reason.NBF_INVALID: NO_TIME,
        Reason.EXP_PASSED: "It was good until {exp}. Fetch a new one, as every client must every "
        "few minutes. If it is new, the clock of this machine is ahead, or the frontend's behind.",
        Reason.IAT_IN_FUTURE: "It was issued at {iat}. " + CLOCKS,
        Reason.NBF_IN_FUTURE: "It is not valid before {nbf}. " + CLOCKS,
        Reason.ISS: "Expected {better_auth_url}, found {iss}{slash}. "
        "BETTER_AUTH_URL must be the same here and in the frontend, byte for byte.",
        Reason.AUD: "Expected {jwt_audience}, found {aud}. JWT_AUDIENCE must "
        "be the same here and in the frontend, where it is the jwt() plugin's jwt.audience; "
        "without that, Better Auth puts its own URL.",
        Reason.SUB: "Expected 1 to 255 printable characters, found {sub}. "
        "jwt.getSubject, if you set it, must return the user's id.",
        Reason.CNF: "It is bound to a key (DPoP or mTLS), and a bearer token cannot prove that its "
        "sender has this key. Have the client request tokens without DPoP.",
        Reason.SCOPE_INVALID: NOT_TEXT,
        Reason.CLIENT_ID_INVALID: NOT_TEXT,
        Reason.AZP_INVALID: NOT_TEXT,
        Reason.CLIENT: "It was issued to the client {sub} for itself (client_credentials), but the "
        "service is for users. The client needs a token that a user has consented to: grant_type "
        "authorization_code, with PKCE.",
    }


async def verdict(token: str, settings: Settings) -> tuple[bool, str]:
    """Return whether the service accepts the token, and an explanation.

    The explanation says what the token allows, or which rule it breaks first and what to change.
    """
    header, claims = decode_unverified(token)
    known = settings.model_dump() | displayable(header, claims)
    try:
        user = await token_verifier(settings).verify(token)
    except (Unauthenticated, Unavailable) as error:
        reason = Reason(str(error.reason))
        text = recognize(token, header, claims) or explanations()[reason]
        return False, f"The service would reject this token: {reason}.\n{text.format_map(known)}"
    accepted = "The service would accept this token: user {sub}, good until {exp}.\n"
    return True, (accepted + rights(user)).format_map(known)


def rights(user: User) -> str:
    """Return what a token of this user allows."""
    role = " The role is {role}." if user.roles else ""
    if user.scopes is None:
        return "It is the user's own token, so it allows everything that the user may do." + role
    known = sorted(scopes())
    allowed = ", ".join(filter(user.may, known)) or "nothing"
    return (
        "It was issued to an application (client_id {client_id}), with the scope {scope}. Of "
        f"the scopes {', '.join(known)}, it allows {allowed}.{role}"
    )


def recognize(token: str, header: dict[str, Any], claims: dict[str, Any]) -> str | None:
    """Return an explanation if this is a well-known text that is not an access token."""
    if re.match(r"bearer\b", token, re.IGNORECASE):
        return BEARER
    if re.search(r"""[\s"'{}]""", token):
        return PASTED
    if (
        re.search("session_(token|data)", token)  # a cookie with its name
        or (not header and re.fullmatch(r"[A-Za-z0-9]{32}\..+", token))  # session_token
        or ("session" in header | claims and "sub" not in claims)  # session_data
        or "session" in str(header.get("typ"))  # the same, made for other services
        or token.count(".") == 4  # the same, encrypted
    ):
        return SESSION
    if re.fullmatch(r"[A-Za-z0-9]{32}", token):
        return OPAQUE
    if re.fullmatch(r"[A-Za-z0-9]{64}", token):
        return API_KEY
    return EMAIL if "email" in claims and "sub" not in claims else None


def decode_unverified(token: str) -> list[dict[str, Any]]:
    """Return header and claims, empty if unreadable. Nothing is verified: only for display."""
    parts: list[dict[str, Any]] = []
    for segment in [*token.split("."), ""][:2]:
        try:
            part = json.loads(urlsafe_b64decode(segment.encode() + b"=="))
        except (ValueError, RecursionError):
            part = None
        parts.append(part if isinstance(part, dict) else {})
    return parts


def displayable(header: dict[str, Any], claims: dict[str, Any]) -> dict[str, str]:
    """Return the parts of a token that explanations show, with control characters escaped."""
    members = {name: header.get(name) for name in ("alg", "kid", "typ")}
    names = ("iss", "aud", "sub", "exp", "iat", "nbf", "scope", "client_id", "azp", "role")
    members |= {name: claims.get(name) for name in names}
    shown = {
        name: "none" if value is None else json.dumps(value)[:200]
        for name, value in members.items()
    }
    shown |= {
        name: readable_time(claims.get(name)) or shown[name] for name in ("exp", "iat", "nbf")
    }
    return shown | {"slash": ", with a slash at its end" if shown["iss"].endswith('/"') else ""}


def readable_time(value: Any) -> str | None:
    """Return a NumericDate as readable text, or None if it is not one."""
    try:
        text = f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    seconds = round(abs(value - time.time()))
    sizes = {"s": 1, "min": 60, "h": 3600, "days": 86_400}
    unit = [name for name, size in sizes.items() if seconds >= 2 * size or size == 1][-1]
    return f"{text}, {seconds // sizes[unit]} {unit} {'ago' if value < time.time() else 'from now'}"


def main() -> int:
    try:
        settings = Settings.load()
    except ConfigurationError as error:
        raise SystemExit(str(error)) from None
    if not (token := os.environ.get("TOKEN", "").strip()):
        raise SystemExit("There is no token. Run: make doctor TOKEN=…")
    accepted, text = asyncio.run(verdict(token, settings))
    print(text)
    return 0 if accepted else 1


if __name__ == "__main__":
    sys.exit(main())
