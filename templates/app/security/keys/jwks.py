"""Better Auth's key set, fetched over HTTP and cached.

PyJWT's PyJWKClient blocks the event loop, makes tokens with known keys wait for a fetch, and has no
cooldown after a failed one.
"""

import asyncio
import json
import math
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx2
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from app.config import Settings
from app.errors import Unauthenticated, Unavailable
from app.reasons import Reason
from app.security.tokens import UnverifiedToken, is_key_id

FETCH_TIMEOUT = 2.0  # seconds; a request may wait for two fetches, and must end within five
MAX_DOCUMENT_BYTES = 64 * 1024
MAX_AGE = 24 * 3600.0  # seconds that cached keys are used without a successful fetch
MIN_RSA_BITS = 2048
# All algorithms that Better Auth can sign with. The first one is for an entry without `alg`.
ALGORITHMS = {
    ("OKP", "Ed25519"): ("EdDSA",),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-521"): ("ES512",),
    ("RSA", None): ("RS256", "PS256"),
}
SUPPORTED = {algorithm for algorithms in ALGORITHMS.values() for algorithm in algorithms}

log = structlog.get_logger()

Keys = dict[str, PyJWK]


class HttpFetch:
    """Fetches a key set over HTTP."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._tls = ssl.create_default_context()  # reads files, so not during a request

    async def __call__(self) -> bytes:
        """Return the document.

        Raises httpx2.HTTPError, or ValueError if the status is not 200 or the body is too large.
        """
        # Uncompressed, so that the limit applies to what is held in memory. No proxy, no redirects.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        async with (
            httpx2.AsyncClient(verify=self._tls, trust_env=False, timeout=FETCH_TIMEOUT) as client,
            client.stream("GET", self._url, headers=headers) as response,
        ):
            if response.status_code != 200:
                raise ValueError(f"answered {response.status_code}")
            document = bytearray()
            async for chunk in response.aiter_raw():
                document += chunk
                if len(document) > MAX_DOCUMENT_BYTES:
                    raise ValueError(f"has more than {MAX_DOCUMENT_BYTES} bytes")
            return bytes(document)


class KeySet:
    """Better Auth's public keys, in memory (RFC 7517, section 5).

    Known keys are returned without waiting. An unknown key id starts a fetch, so a new key works on
    its first request. Concurrent requests share one fetch. Within `cooldown` seconds there are at
    most two fetches, or one that failed, so invented key ids cost almost nothing. Keys older than
    `ttl` seconds are refreshed in the background. After a failed fetch, the cached keys stay valid
    until they are a day old.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[bytes]],
        *,
        cooldown: float,
        ttl: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`cooldown`, `ttl` and `clock` are in seconds."""
        self._fetch = fetch
        self._cooldown = cooldown
        self._ttl = ttl
        self._clock = clock
        self._keys: Keys = {}
        self._fetched_at = -math.inf
        # When the last two fetches ended. A failed fetch counts twice. The second fetch within a
        # cooldown is for a key that was created just after the first one.
        self._ended_at = deque([-math.inf, -math.inf], maxlen=2)
        self._fetching: asyncio.Task[None] | None = None

    async def keys_for(self, token: UnverifiedToken) -> Sequence[PyJWK]:
        if token.algorithm not in SUPPORTED:
            raise Unauthenticated(Reason.ALG_UNKNOWN)
        key_id = token.key_id
        if key_id is None:
            raise Unauthenticated(Reason.KID_MISSING)
        key = self._known(key_id)
        if key and self._age() >= self._ttl:
            self._start_fetch()
        if not key and self._fetching:
            key = await self._wait_for(self._fetching, key_id)
        # The fetch that was running may have begun before this key existed.
        if not key and (fetching := self._start_fetch()):
            key = await self._wait_for(fetching, key_id)
        if key:
            return [key]
        if self._age() >= MAX_AGE:
            wait = math.ceil(self._ended_at[0] + self._cooldown - self._clock())
            raise Unavailable(Reason.NO_KEY_SET, retry_after=max(1, wait))
        raise Unauthenticated(Reason.KID_UNKNOWN)

    def _known(self, key_id: str) -> PyJWK | None:
        return self._keys.get(key_id) if self._age() < MAX_AGE else None

    def _age(self) -> float:
        return self._clock() - self._fetched_at

    async def _wait_for(self, fetching: asyncio.Task[None], key_id: str) -> PyJWK | None:
        # Shielded, so that a canceled request does not cancel the fetch for the others.
        await asyncio.shield(fetching)
        return self._known(key_id)

    def _start_fetch(self) -> asyncio.Task[None] | None:
        """Return the running fetch, or start one. Return None during the cooldown."""
        if self._fetching is None and self._clock() >= self._ended_at[0] + self._cooldown:
            self._fetching = asyncio.create_task(self._refresh())
        return self._fetching

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT):
                self._keys = parse_key_set(await self._fetch())
            self._fetched_at = self._clock()
        except Exception as error:  # whatever the response contains, keep the cached keys
            self._ended_at.append(self._clock())
            log.warning("key set not fetched", error=type(error).__name__, reason=str(error))
        finally:
            self._ended_at.append(self._clock())
            self._fetching = None


def parse_key_set(document: bytes) -> Keys:
    """Return the usable keys of a key set by key id. Raises ValueError if there are none.

    Other keys are skipped (RFC 7517, section 5): private, symmetric, weak or malformed keys, and
    those for another use or algorithm.
    """
    try:
        entries = json.loads(document)["keys"]
        keys = [key for entry in reversed(entries) if (key := _verification_key(entry))]
    except (KeyError, TypeError, RecursionError):
        raise ValueError("is not a key set") from None
    if not keys:
        raise ValueError("has no usable key")
    return {str(key.key_id): key for key in keys}


def _verification_key(entry: Any) -> PyJWK | None:
    try:
        # RSA has no curves, but after a change from RS256 to EdDSA, Better Auth adds `crv` to the
        # older RSA keys, too.
        curve = None if entry["kty"] == "RSA" else entry.get("crv")
        algorithms = ALGORITHMS[entry["kty"], curve]
        algorithm = entry.get("alg", algorithms[0])
        usable = (
            is_key_id(entry["kid"])
            and "d" not in entry
            and entry.get("use", "sig") == "sig"
            and "verify" in (operations := entry.get("key_ops", ["verify"]))
            and isinstance(operations, list)
            and algorithm in algorithms
        )
        key = PyJWK(entry, algorithm) if usable else None
    except (AttributeError, KeyError, TypeError, ValueError, PyJWTError):
        return None
    if key and isinstance(key.key, RSAPublicKey) and key.key.key_size < MIN_RSA_BITS:
        return None
    return key


def key_source(settings: Settings) -> KeySet:
    return KeySet(
        HttpFetch(settings.jwks_url),
        cooldown=settings.jwks_cooldown_seconds,
        ttl=settings.jwks_ttl_seconds,
    )
