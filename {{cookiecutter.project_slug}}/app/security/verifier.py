"""Verify bearer tokens: identify the user and the rights of a request."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass
from typing import Any, Protocol, TypeGuard, final

from jwt import PyJWK, PyJWS
from jwt.exceptions import PyJWTError

from app.errors import Unauthenticated
from app.reasons import Reason
from app.security.tokens import UnverifiedToken, read_token

MAX_SUBJECT_LENGTH = 255
MAX_REMEMBERED = 2_000  # accepted tokens in memory: a few megabytes
YEAR_10000 = 253_402_300_800  # seconds since 1970, later than any clock shows
# A token with one of these was issued to an application (RFC 9068, section 2.2; RFC 6749).
APPLICATION_CLAIMS = {
    "scope": Reason.SCOPE_INVALID,
    "client_id": Reason.CLIENT_ID_INVALID,
    "azp": Reason.AZP_INVALID,
}

_VERIFIED = object()
# RFC 6749, appendix A.4: one space between scopes, and none around them.
_SCOPES = re.compile(r"[!#-\[\]-~]+( [!#-\[\]-~]+)*")


@final
@dataclass(frozen=True, slots=True)
class User:
    """A caller whose token was verified; `id` is its `sub`. Jobs get one from `acting_as`.

    `scopes` is what an application may do for the user. It is None for the user's own token, which
    allows everything that the user may do.
    """

    id: str
    proof: InitVar[object]
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] | None = None

    def __post_init__(self, proof: object) -> None:
        if proof is not _VERIFIED:
            raise TypeError("a User comes from TokenVerifier.verify, or from acting_as")

    def __init_subclass__(cls) -> None:
        raise TypeError("User allows no subclasses: they could skip the proof")

    def may(self, scope: str | None) -> bool:
        """Return whether the token covers `scope`, such as `tasks:read`.

        `scope` is None for operations that no application may perform.
        """
        return self.scopes is None or scope in self.scopes


class KeySource(Protocol):
    async def keys_for(self, token: UnverifiedToken, /) -> Sequence[PyJWK]:
        """Return the keys that may have signed `token`, each bound to one algorithm.

        Raises Unauthenticated if there are none, Unavailable if the keys could not be fetched.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Accepted:
    unverified: UnverifiedToken
    key: PyJWK
    user: User


class TokenVerifier:
    """Accepts only tokens that Better Auth issued for this service (RFC 8725)."""

    def __init__(
        self,
        keys: KeySource,
        *,
        issuer: str,
        audience: str,
        leeway: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`leeway` is in seconds. `clock` returns seconds since 1970."""
        self._accepted: dict[str, _Accepted] = {}
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._leeway = leeway
        self._clock = clock
        self._signatures = PyJWS()

    async def verify(self, token: str) -> User:
        """Return the user to whom a token was issued, with the rights in the token.

        Unless the token is well-formed, signed, current, and issued for this service, raises
        Unauthenticated with the violated rule.
        """
        known = self._accepted.get(token)
        unverified = known.unverified if known else read_token(token)
        # The key determines the algorithm, never the token (RFC 8725, section 3.1).
        keys = [
            key
            for key in await self._keys.keys_for(unverified)
            if key.algorithm_name == unverified.algorithm
        ]
        if not keys:
            raise Unauthenticated(Reason.ALG_OF_ANOTHER_KEY)
        if known and any(key is known.key for key in keys):
            self._check_times(unverified.claims)
            return known.user
        key = self._signer(token, keys)
        self._check_times(unverified.claims)
        user = self._user(unverified.claims)
        self._remember(token, _Accepted(unverified, key, user))
        return user

    def _signer(self, token: str, keys: Sequence[PyJWK]) -> PyJWK:
        for key in keys:
            if self._is_signed(token, key):
                return key
        raise Unauthenticated(Reason.SIGNATURE)

    def _remember(self, token: str, accepted: _Accepted) -> None:
        """Cache the results that cannot change. Later requests check only the times and the key."""
        if len(self._accepted) >= MAX_REMEMBERED:
            del self._accepted[next(iter(self._accepted))]
        self._accepted[token] = accepted

    def _is_signed(self, token: str, key: PyJWK) -> bool:
        try:
            self._signatures.decode(token, key, algorithms=[key.algorithm_name])
        except PyJWTError:
            return False
        return True

    def _check_times(self, claims: dict[str, Any]) -> None:
        now = self._clock()
        if _time(claims, "exp", Reason.EXP_INVALID) + self._leeway <= now:
            raise Unauthenticated(Reason.EXP_PASSED)
        if _time(claims, "iat", Reason.IAT_INVALID) - self._leeway > now:
            raise Unauthenticated(Reason.IAT_IN_FUTURE)
        if "nbf" in claims and _time(claims, "nbf", Reason.NBF_INVALID) - self._leeway > now:
            raise Unauthenticated(Reason.NBF_IN_FUTURE)

    def _user(self, claims: dict[str, Any]) -> User:
        if claims.get("iss") != self._issuer:
            raise Unauthenticated(Reason.ISS)
        if self._audience not in _texts(claims.get("aud")):
            raise Unauthenticated(Reason.AUD)
        subject = claims.get("sub")
        if not is_identifier(subject):
            raise Unauthenticated(Reason.SUB)
        # A bearer token cannot prove possession of a key (RFC 9449, 7.1; RFC 8705, section 3).
        if "cnf" in claims:
            raise Unauthenticated(Reason.CNF)
        return User(subject, _VERIFIED, _roles(claims), _scopes(claims))


def _time(claims: dict[str, Any], name: str, reason: Reason) -> float:
    """Return a claim that is a NumericDate (RFC 7519, section 2) before the year 10000."""
    value = claims.get(name)
    # In Python, True is an int. Infinity, which 1e999 becomes, fails the comparison.
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < YEAR_10000:
        return value
    raise Unauthenticated(reason)


def _roles(claims: dict[str, Any]) -> frozenset[str]:
    """Return the roles in `role`, which Better Auth's admin plugin separates by commas.

    Names are case-sensitive and not trimmed. A claim that is not text gives no role.
    """
    role = claims.get("role")
    return frozenset(filter(None, role.split(","))) if isinstance(role, str) else frozenset()


def _scopes(claims: dict[str, Any]) -> frozenset[str] | None:
    """Return the scopes of an application's token, or None for the user's own token.

    Malformed text in `scope` gives no scope. Raises Unauthenticated for a claim that is not text,
    and for the token of a client that acts for no user.
    """
    if claims.keys().isdisjoint(APPLICATION_CLAIMS):
        return None
    for name, reason in APPLICATION_CLAIMS.items():
        if not isinstance(claims.get(name, ""), str):
            raise Unauthenticated(reason)
    if claims["sub"] in (claims.get("client_id"), claims.get("azp")):
        raise Unauthenticated(Reason.CLIENT)
    scope = claims.get("scope", "")
    return frozenset(scope.split(" ") if _SCOPES.fullmatch(scope) else ())


def _texts(value: object) -> list[str]:
    """Return one text, or a list of texts, as a list; an empty list for anything else."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    return []


def is_identifier(subject: object) -> TypeGuard[str]:
    """Return whether `subject` can be the id of a user."""
    # isprintable() rejects controls, NUL, lone surrogates and line separators.
    return (
        isinstance(subject, str)
        and 0 < len(subject) <= MAX_SUBJECT_LENGTH
        and subject.isprintable()
        and subject == subject.strip()
    )
