"""From a bearer token to the one who sent it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass
from typing import Any, Protocol, TypeGuard, final

from jwt import PyJWK, PyJWS
from jwt.exceptions import PyJWTError

from app.errors import Unauthenticated
from app.security.tokens import UnverifiedToken, read_token

MAX_SUBJECT_LENGTH = 255
MAX_REMEMBERED = 2_000  # tokens whose signature is known to be good: a few megabytes
YEAR_10000 = 253_402_300_800  # seconds since 1970: no clock will read it

_VERIFIED = object()


@final
@dataclass(frozen=True, slots=True)
class User:
    """A caller whose token was verified; `id` is its `sub`. Jobs get one from `acting_as`."""

    id: str
    proof: InitVar[object]
    roles: frozenset[str] = frozenset()

    def __post_init__(self, proof: object) -> None:
        if proof is not _VERIFIED:
            raise TypeError("a User comes from TokenVerifier.verify, or from acting_as")

    def __init_subclass__(cls) -> None:
        raise TypeError("User has no subclasses: they could do without the proof")


class KeySource(Protocol):
    async def keys_for(self, token: UnverifiedToken, /) -> Sequence[PyJWK]:
        """The keys that may have signed `token`, each bound to one algorithm.

        Raises Unauthenticated if there can be none, Unavailable if nobody can tell for now.
        """
        ...


class TokenVerifier:
    """Accepts what Better Auth issues for this service, and nothing else (RFC 8725)."""

    def __init__(
        self,
        keys: KeySource,
        *,
        issuer: str,
        audience: str,
        leeway: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`leeway` is in seconds, `clock` tells seconds since 1970."""
        self._signed: dict[str, tuple[UnverifiedToken, PyJWK]] = {}
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._leeway = leeway
        self._clock = clock
        self._signatures = PyJWS()

    async def verify(self, token: str) -> User:
        """The user a token was issued to.

        Raises Unauthenticated, with the rule that was broken, for every token that is not
        whole, signed, current, and meant for this service.
        """
        unverified, signer = self._signed.get(token) or (read_token(token), None)
        # A key's own algorithm counts, never the token's choice (RFC 8725, section 3.1).
        keys = [
            key
            for key in await self._keys.keys_for(unverified)
            if key.algorithm_name == unverified.algorithm
        ]
        if not keys:
            raise Unauthenticated("alg is not that of the key")
        if not any(key is signer for key in keys):
            self._remember(token, unverified, self._signer(token, keys))
        claims = unverified.claims
        return User(self._subject(claims), _VERIFIED, _roles(claims))

    def _signer(self, token: str, keys: Sequence[PyJWK]) -> PyJWK:
        for key in keys:
            if self._is_signed(token, key):
                return key
        raise Unauthenticated("signature does not verify")

    def _remember(self, token: str, unverified: UnverifiedToken, signer: PyJWK) -> None:
        """What a key has signed it has signed for ever; all else is looked at each time."""
        if len(self._signed) >= MAX_REMEMBERED:
            del self._signed[next(iter(self._signed))]
        self._signed[token] = unverified, signer

    def _is_signed(self, token: str, key: PyJWK) -> bool:
        try:
            self._signatures.decode(token, key, algorithms=[key.algorithm_name])
        except PyJWTError:
            return False
        return True

    def _subject(self, claims: dict[str, Any]) -> str:
        now = self._clock()
        if _time(claims, "exp") + self._leeway <= now:
            raise Unauthenticated("exp has passed")
        if _time(claims, "iat") - self._leeway > now:
            raise Unauthenticated("iat is in the future")
        if "nbf" in claims and _time(claims, "nbf") - self._leeway > now:
            raise Unauthenticated("nbf is in the future")
        if claims.get("iss") != self._issuer:
            raise Unauthenticated("iss is not the configured issuer")
        if self._audience not in _texts(claims.get("aud")):
            raise Unauthenticated("aud does not name this service")
        subject = claims.get("sub")
        if not is_identifier(subject):
            raise Unauthenticated("sub is not an identifier")
        return subject


def _time(claims: dict[str, Any], name: str) -> float:
    """A NumericDate (RFC 7519, section 2) in a range that a clock can show."""
    value = claims.get(name)
    # True is an int to Python; and the comparison is false for infinity, which 1e999 becomes.
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < YEAR_10000:
        return value
    raise Unauthenticated(f"{name} is not a point in time")


def _roles(claims: dict[str, Any]) -> frozenset[str]:
    """Return the roles in `role`, which Better Auth's admin plugin separates by commas.

    Names are case-sensitive and not trimmed. A claim that is not text gives no role.
    """
    role = claims.get("role")
    return frozenset(filter(None, role.split(","))) if isinstance(role, str) else frozenset()


def _texts(value: object) -> list[str]:
    """One text or a list of texts, as a list; empty for anything else."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    return []


def is_identifier(subject: object) -> TypeGuard[str]:
    """Return whether `subject` can be the id of a user."""
    # isprintable() refuses controls, NUL, lone surrogates and line separators.
    return (
        isinstance(subject, str)
        and 0 < len(subject) <= MAX_SUBJECT_LENGTH
        and subject.isprintable()
        and subject == subject.strip()
    )
