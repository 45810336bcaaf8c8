"""Parse a compact JWS strictly, before its signature is verified. No HTTP, no SQL.

PyJWT is lenient (padding, duplicate members, UTF-16, any `typ`), so the service could understand a
token differently from its issuer.
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Any, NoReturn, TypeGuard

from app.errors import Unauthenticated
from app.reasons import Reason

MAX_TOKEN_LENGTH = 8 * 1024
ACCEPTED_TYPES = {"jwt", "at+jwt"}
# Headers that change the token's meaning (RFC 7515 4.1.11, RFC 7516, RFC 7519 5.2, RFC 7797).
REFUSED_HEADERS = {"b64", "crit", "cty", "enc", "zip"}

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """What a token contains. Neither its signature nor its claims have been checked."""

    algorithm: str
    key_id: str | None
    claims: dict[str, Any]


def read_token(token: str) -> UnverifiedToken:
    """Read a JWS in compact serialization (RFC 7515, section 7.1) whose payload is a claim set.

    Raises Unauthenticated for any text that cannot be read in exactly one way.
    """
    if len(token) > MAX_TOKEN_LENGTH:
        raise Unauthenticated(Reason.TOO_LONG)
    if not _COMPACT.fullmatch(token):
        raise Unauthenticated(Reason.NOT_COMPACT)
    header, claims, signature = token.split(".")
    _decode(signature)
    return _with_header(_json_object(_decode(header)), _json_object(_decode(claims)))


def _with_header(header: dict[str, Any], claims: dict[str, Any]) -> UnverifiedToken:
    if not header.keys().isdisjoint(REFUSED_HEADERS):
        raise Unauthenticated(Reason.UNSUPPORTED_HEADER)
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str):
        raise Unauthenticated(Reason.ALG_NOT_TEXT)
    if "kid" in header and not is_key_id(key_id):
        raise Unauthenticated(Reason.KID_INVALID)
    if "typ" in header and str(header["typ"]).lower() not in ACCEPTED_TYPES:
        raise Unauthenticated(Reason.TYP)
    return UnverifiedToken(algorithm, key_id, claims)


def is_key_id(value: object) -> TypeGuard[str]:
    """Return whether it is 1 to 255 printable characters, without surrogates or line breaks."""
    return isinstance(value, str) and 0 < len(value) <= 255 and value.isprintable()


def _decode(segment: str) -> bytes:
    try:
        decoded = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise Unauthenticated(Reason.NOT_BASE64URL) from None
    # Decoding drops some bits of the last character, so one signature could have several encodings.
    if urlsafe_b64encode(decoded).rstrip(b"=") != segment.encode():
        raise Unauthenticated(Reason.NOT_CANONICAL)
    return decoded


def _json_object(encoded: bytes) -> dict[str, Any]:
    try:
        value = json.loads(
            encoded.decode(), object_pairs_hook=_without_duplicates, parse_constant=_no_constant
        )
    except (ValueError, RecursionError):
        raise Unauthenticated(Reason.NOT_JSON) from None
    if not isinstance(value, dict):
        raise Unauthenticated(Reason.NOT_AN_OBJECT)
    return value


def _without_duplicates(members: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(members)
    if len(value) != len(members):
        raise Unauthenticated(Reason.DUPLICATE_MEMBERS)
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
