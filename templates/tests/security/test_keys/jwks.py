"""The key set: when it is fetched, which keys it accepts, and how it survives outages."""

import asyncio
import hmac
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm, get_default_algorithms

from app.errors import Unauthenticated, Unavailable
from app.reasons import Reason
from app.security import keys
from app.security.keys import MAX_AGE, MAX_DOCUMENT_BYTES, HttpFetch, KeySet, parse_key_set
from app.security.tokens import UnverifiedToken, read_token
from app.security.verifier import TokenVerifier
from tests.issuer import Issuer
from tests.tokens import ABSENT, AUDIENCE, BETTER_AUTH_URL, claims, encode, token

COOLDOWN = 5
TTL = 300


class Source:
    """A fake of Better Auth's key-set endpoint, and the clock of the key set."""

    def __init__(self, *issuers: Issuer) -> None:
        self.now = 1_000.0
        self.fetches = 0
        self.error: Exception | None = None
        self.ready = asyncio.Event()
        self.ready.set()
        self.issuers = list(issuers)

    async def __call__(self) -> bytes:
        self.fetches += 1
        document = json.dumps({"keys": [issuer.public_key for issuer in self.issuers]})
        await self.ready.wait()
        if self.error:
            raise self.error
        return document.encode()

    def key_set(self) -> KeySet:
        return KeySet(self, cooldown=COOLDOWN, ttl=TTL, clock=lambda: self.now)


def with_key_id(key_id: str | None) -> UnverifiedToken:
    return UnverifiedToken("EdDSA", key_id, {})


async def knows(key_set: KeySet, key_id: str) -> bool:
    try:
        [key] = await key_set.keys_for(with_key_id(key_id))
    except Unauthenticated:
        return False
    return key.key_id == key_id


async def run_background_tasks() -> None:
    """Let the background tasks of the key set finish."""
    for _ in range(5):
        await asyncio.sleep(0)


# --- When the key set is fetched


async def test_keys_are_fetched_once_and_cached() -> None:
    source = Source(Issuer("first"), Issuer("second"))
    key_set = source.key_set()

    assert await knows(key_set, "first")
    assert await knows(key_set, "second")
    assert source.fetches == 1


async def test_concurrent_requests_share_one_fetch() -> None:
    source = Source(Issuer("first"))
    key_set = source.key_set()

    assert all(await asyncio.gather(*(knows(key_set, "first") for _ in range(50))))
    assert source.fetches == 1


async def test_canceled_request_does_not_cancel_the_shared_fetch() -> None:
    source = Source(Issuer("first"))
    key_set = source.key_set()
    source.ready.clear()
    canceled, remaining = (asyncio.create_task(knows(key_set, "first")) for _ in range(2))
    await run_background_tasks()

    canceled.cancel()
    await run_background_tasks()
    source.ready.set()

    assert await remaining
    assert source.fetches == 1


async def test_rotated_key_works_on_its_first_request() -> None:
    source = Source(Issuer("first"))
    key_set = source.key_set()
    assert await knows(key_set, "first")

    source.issuers.append(Issuer("second"))

    assert await knows(key_set, "second")


async def test_rotated_key_works_even_if_a_fetch_was_already_running() -> None:
    source = Source(Issuer("first"))
    key_set = source.key_set()
    assert await knows(key_set, "first")
    source.ready.clear()
    source.now += TTL
    assert await knows(key_set, "first")
    waiting = asyncio.create_task(knows(key_set, "second"))
    await run_background_tasks()

    source.issuers.append(Issuer("second"))
    source.ready.set()

    assert await waiting
    assert source.fetches == 3


async def test_unknown_key_ids_cause_two_fetches_per_cooldown() -> None:
    source = Source(Issuer("first"))
    key_set = source.key_set()
    assert await knows(key_set, "first")

    together = await asyncio.gather(*(knows(key_set, f"unknown-{n}") for n in range(200)))
    one_by_one = [await knows(key_set, f"unknown-{n}") for n in range(200)]

    assert not any(together + one_by_one)
    assert source.fetches == 2
    source.now += COOLDOWN
    assert not any([await knows(key_set, f"unknown-{n}") for n in range(200)])
    assert source.fetches == 4


async def test_cooldown_starts_when_a_failed_fetch_ends() -> None:
    source = Source()
    source.error = httpx2.ConnectError("refused")
    key_set = source.key_set()

    for elapsed, fetches in ((0, 1), (COOLDOWN - 1, 1), (1, 2)):
        source.now += elapsed
        with pytest.raises(Unavailable):
            await key_set.keys_for(with_key_id("first"))
        assert source.fetches == fetches


async def test_known_key_never_waits_for_a_fetch() -> None:
    source = Source(Issuer("first"))
    key_set = source.key_set()
    assert await knows(key_set, "first")
    source.ready.clear()
    source.now += TTL
    waiting = asyncio.create_task(knows(key_set, "unknown"))
    await run_background_tasks()

    assert await asyncio.wait_for(knows(key_set, "first"), timeout=1)

    source.ready.set()
    assert not await waiting


async def test_stale_keys_are_refreshed_in_the_background() -> None:
    source = Source(Issuer("first"))
    key_set = source.key_set()
    assert await knows(key_set, "first")

    source.now += TTL - 1
    assert await knows(key_set, "first")
    await run_background_tasks()
    assert source.fetches == 1
    source.now += 1
    assert await knows(key_set, "first")
    await run_background_tasks()
    assert source.fetches == 2


# --- When a fetch fails


async def test_failed_first_fetch_raises_unavailable() -> None:
    source = Source()
    source.error = httpx2.ConnectError("refused")

    with pytest.raises(Unavailable) as caught:
        await source.key_set().keys_for(with_key_id("first"))

    assert caught.value.headers == {"Retry-After": str(COOLDOWN)}


async def test_hanging_fetch_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "FETCH_TIMEOUT", 0.01)
    source = Source(Issuer("first"))
    source.ready.clear()

    with pytest.raises(Unavailable):
        await source.key_set().keys_for(with_key_id("first"))


async def test_keys_are_kept_for_a_day_of_outage_and_fetched_again_after_it() -> None:
    source = Source(Issuer("first"))
    key_set = source.key_set()
    assert await knows(key_set, "first")
    source.error = httpx2.ConnectError("refused")

    source.now += MAX_AGE - 1
    assert await knows(key_set, "first")
    await run_background_tasks()
    source.now += COOLDOWN
    with pytest.raises(Unavailable):
        await key_set.keys_for(with_key_id("first"))

    source.error = None
    source.now += COOLDOWN
    assert await knows(key_set, "first")


async def test_key_missing_from_a_successful_fetch_is_dropped() -> None:
    source = Source(Issuer("first"))
    key_set = source.key_set()
    assert await knows(key_set, "first")

    source.issuers = [Issuer("second")]
    source.now += TTL
    await knows(key_set, "first")
    await run_background_tasks()

    assert not await knows(key_set, "first")


async def test_token_without_kid_is_rejected_without_a_fetch() -> None:
    source = Source(Issuer("first"))

    with pytest.raises(Unauthenticated):
        await source.key_set().keys_for(with_key_id(None))
    assert source.fetches == 0


@pytest.mark.parametrize(
    "algorithm",
    [
        "none",
        "HS256",
        "HS512",
        "ES384",
        "ES256K",
        "RS384",
        "RS512",
        "PS512",
        "Ed25519",
        "eddsa",
        "",
    ],
)
@pytest.mark.parametrize("reachable", [True, False])
async def test_unsupported_algorithm_is_rejected_without_a_fetch(
    algorithm: str, reachable: bool
) -> None:
    source = Source(Issuer("first"))
    source.error = None if reachable else httpx2.ConnectError("refused")

    with pytest.raises(Unauthenticated) as caught:
        await source.key_set().keys_for(UnverifiedToken(algorithm, "first", {}))
    assert caught.value.reason == Reason.ALG_UNKNOWN
    assert source.fetches == 0


# --- Which keys are accepted

ED25519 = ed25519.Ed25519PrivateKey.generate()
P256 = ec.generate_private_key(ec.SECP256R1())
P521 = ec.generate_private_key(ec.SECP521R1())
RSA2048 = rsa.generate_private_key(65537, 2048)


def entry(key: Any, **changes: Any) -> dict[str, Any]:
    """Return the public key as Better Auth publishes it, with `changes`."""
    makers: dict[type, tuple[str, Callable[..., Any]]] = {
        ed25519.Ed25519PrivateKey: ("EdDSA", OKPAlgorithm.to_jwk),
        ed448.Ed448PrivateKey: ("EdDSA", OKPAlgorithm.to_jwk),
        ec.EllipticCurvePrivateKey: ("ES256", ECAlgorithm.to_jwk),
        rsa.RSAPrivateKey: ("RS256", RSAAlgorithm.to_jwk),
    }
    [(alg, to_jwk)] = [made for kind, made in makers.items() if isinstance(key, kind)]
    jwk = to_jwk(key.public_key(), as_dict=True)
    jwk.pop("key_ops", None)
    jwk |= {"alg": alg, "kid": "first"} | changes
    return {name: value for name, value in jwk.items() if value is not ABSENT}


PRIVATE_KEYS: dict[str, Any] = {
    "EdDSA": ED25519, "ES256": P256, "ES512": P521, "RS256": RSA2048, "PS256": RSA2048,
}  # fmt: skip
each_algorithm = pytest.mark.parametrize("algorithm", PRIVATE_KEYS)


@each_algorithm
@pytest.mark.parametrize(
    "changes",
    [{}, {"use": "sig"}, {"key_ops": ["verify"]}, {"unknown": [1]}],
    ids=str,
)
def test_usable_key_is_accepted(algorithm: str, changes: dict[str, Any]) -> None:
    jwk = entry(PRIVATE_KEYS[algorithm], alg=algorithm, **changes)

    [(key_id, key)] = parse_key_set(json.dumps({"keys": [jwk]}).encode()).items()

    assert (key_id, key.algorithm_name) == ("first", algorithm)


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "ES512", "RS256"])
def test_key_without_alg_uses_the_default_algorithm_of_its_kind(algorithm: str) -> None:
    jwk = entry(PRIVATE_KEYS[algorithm], alg=ABSENT)

    [key] = parse_key_set(json.dumps({"keys": [jwk]}).encode()).values()

    assert key.algorithm_name == algorithm


def test_rsa_key_with_the_curve_of_newer_keys_is_accepted() -> None:
    """Better Auth adds `crv` to older keys if its configuration now names a curve."""
    jwk = entry(RSA2048, crv="Ed25519")

    assert parse_key_set(json.dumps({"keys": [jwk]}).encode())["first"].algorithm_name == "RS256"


UNUSABLE: dict[str, Any] = {
    "private": entry(ED25519, d=OKPAlgorithm.to_jwk(ED25519, as_dict=True)["d"]),
    "private RSA": RSAAlgorithm.to_jwk(RSA2048, as_dict=True)
    | {"kid": "bad", "key_ops": ["verify"]},
    "symmetric": {"kty": "oct", "alg": "HS256", "k": encode(b"0" * 32), "kid": "bad"},
    "for encryption": entry(RSA2048, use="enc"),
    "use is null": entry(RSA2048, use=None),
    "not for verifying": entry(ED25519, key_ops=["sign"]),
    "key_ops is a number": entry(ED25519, key_ops=1),
    "key_ops is a string": entry(ED25519, key_ops="do-not-verify"),
    "key_ops is null": entry(ED25519, key_ops=None),
    "kid is missing": entry(ED25519, kid=ABSENT),
    "kid is a number": entry(ED25519, kid=1),
    "kid is empty": entry(ED25519, kid=""),
    "another algorithm": entry(ED25519, alg="HS256"),
    "another hash": entry(RSA2048, alg="RS512"),
    "PSS with another hash": entry(RSA2048, alg="PS512"),
    "RSA for ES256": entry(RSA2048, alg="ES256"),
    "RSA for EdDSA": entry(RSA2048, alg="EdDSA"),
    "Ed25519 for ES256": entry(ED25519, alg="ES256"),
    "P-256 for ES512": entry(P256, alg="ES512"),
    "P-256 for RS256": entry(P256, alg="RS256"),
    "P-521 for ES256": entry(P521, alg="ES256"),
    "P-521 with crv P-256": entry(P521, crv="P-256"),
    "alg is null": entry(RSA2048, alg=None),
    "alg is a list": entry(RSA2048, alg=["RS256"]),
    "Ed448": entry(ed448.Ed448PrivateKey.generate(), kid="bad"),
    "P-384": entry(ec.generate_private_key(ec.SECP384R1()), alg=ABSENT),
    "curve of another kind": entry(P256, crv="Ed25519"),
    "RSA with 1024 bits": entry(rsa.generate_private_key(65537, 1024)),  # noqa: S505 - weak on purpose
    "not a point on the curve": entry(P256, x=encode(b"1" * 32)),
    "x is too short": entry(ED25519, x="AAAA"),
    "x is a number": entry(ED25519, x=1),
    "x is missing": entry(ED25519, x=ABSENT),
    "kty is a list": entry(ED25519, kty=["OKP"]),
    "kty is missing": entry(ED25519, kty=ABSENT),
    "a string": "first",
    "a list": [],
    "null": None,
}


@pytest.mark.parametrize("bad", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_unusable_key_is_skipped_and_usable_ones_are_kept(bad: Any) -> None:
    if isinstance(bad, dict) and bad.get("kid") == "first":
        bad = bad | {"kid": "bad"}
    good = entry(ED25519)

    for order in ([bad, good], [good, bad]):
        assert parse_key_set(json.dumps({"keys": order}).encode()).keys() == {"first"}


def test_first_of_two_keys_with_the_same_id_is_used() -> None:
    document = json.dumps({"keys": [entry(ED25519), entry(P256)]}).encode()

    assert parse_key_set(document)["first"].algorithm_name == "EdDSA"


BAD_DOCUMENTS = [
    b"",
    b"<html>",
    b"\xff",
    b"null",
    b"[]",
    b"1",
    b"{}",
    b'{"keys": null}',
    b'{"keys": {}}',
    b'{"keys": "first"}',
    b'{"keys": []}',
    b'{"keys": [{}]}',
    b'{"keys": ' + b"[" * 20_000,
]


@pytest.mark.parametrize("document", BAD_DOCUMENTS, ids=lambda document: repr(document[:20]))
async def test_document_that_is_not_a_key_set_changes_nothing(document: bytes) -> None:
    source = Source(Issuer("first"))
    key_set = source.key_set()
    assert await knows(key_set, "first")

    async def serve_document() -> bytes:
        return document

    key_set._fetch = serve_document
    source.now += TTL
    await knows(key_set, "first")
    await run_background_tasks()

    assert await knows(key_set, "first")


# --- The HTTP request


@contextmanager
def http_server(respond: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """Yield the URL of a server that handles GET requests with `respond`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            respond(self)

        def log_message(self, *_: Any) -> None:
            """Do not log requests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


async def test_document_at_the_size_limit_is_accepted() -> None:
    document = b" " * MAX_DOCUMENT_BYTES

    with http_server(lambda handler: send(handler, 200, document)) as url:
        assert await HttpFetch(url)() == document


async def test_document_over_the_size_limit_is_rejected() -> None:
    document = b" " * (MAX_DOCUMENT_BYTES + 1)

    with (
        http_server(lambda handler: send(handler, 200, document)) as url,
        pytest.raises(ValueError, match="more than"),
    ):
        await HttpFetch(url)()


@pytest.mark.parametrize("status", [204, 301, 302, 304, 307, 404, 500, 503])
async def test_status_other_than_200_is_rejected_and_redirects_are_not_followed(
    status: int,
) -> None:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        if handler.path == "/elsewhere":
            send(handler, 200, b"{}")
        else:
            send(handler, status, b"", Location="/elsewhere")

    with http_server(respond) as url, pytest.raises(ValueError, match=str(status)):
        await HttpFetch(url)()


async def test_unreachable_server_raises_http_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

    with pytest.raises(httpx2.HTTPError):
        await HttpFetch(url)()


# --- Better Auth's algorithms

RECORDED = Path(__file__).parents[1] / "better_auth_keys.json"
BETTER_AUTH: dict[str, Any] = json.loads(RECORDED.read_bytes())["keys"]


def verifier_with(entry: dict[str, Any], now: float | None = None) -> TokenVerifier:
    """Return a verifier that has only this key. Its clock shows `now`, if given."""

    async def fetch() -> bytes:
        return json.dumps({"keys": [entry]}).encode()

    return TokenVerifier(
        KeySet(fetch, cooldown=COOLDOWN, ttl=TTL),
        issuer=BETTER_AUTH_URL,
        audience=AUDIENCE,
        leeway=0,
        clock=time.time if now is None else lambda: now,
    )


def signed(algorithm: str, *, header: str) -> str:
    """Return a token that was signed by `algorithm`, but has `header` as its `alg`."""
    message = f"{encode({'alg': header, 'kid': 'first'})}.{encode(claims())}"
    signature = get_default_algorithms()[algorithm].sign(message.encode(), PRIVATE_KEYS[algorithm])
    return f"{message}.{encode(signature)}"


async def rejection(verifier: TokenVerifier, text: str) -> str | None:
    with pytest.raises(Unauthenticated) as caught:
        await verifier.verify(text)
    return caught.value.reason


def test_each_algorithm_of_better_auth_was_recorded() -> None:
    assert BETTER_AUTH.keys() == PRIVATE_KEYS.keys() == keys.SUPPORTED


@each_algorithm
async def test_token_signed_by_better_auth_is_accepted(algorithm: str) -> None:
    text = ".".join(BETTER_AUTH[algorithm]["token"])
    recorded = read_token(text).claims
    verifier = verifier_with(BETTER_AUTH[algorithm]["key"], now=recorded["iat"])

    assert (await verifier.verify(text)).id == recorded["sub"]


@each_algorithm
async def test_token_with_a_damaged_signature_is_rejected(algorithm: str) -> None:
    header, payload, signature = BETTER_AUTH[algorithm]["token"]
    text = f"{header}.{payload}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
    verifier = verifier_with(BETTER_AUTH[algorithm]["key"])

    assert await rejection(verifier, text) == Reason.SIGNATURE


@each_algorithm
@pytest.mark.parametrize("key_algorithm", PRIVATE_KEYS)
async def test_key_accepts_only_its_own_algorithm(algorithm: str, key_algorithm: str) -> None:
    verifier = verifier_with(entry(PRIVATE_KEYS[key_algorithm], alg=key_algorithm))
    honest = signed(algorithm, header=algorithm)
    renamed = signed(algorithm, header=key_algorithm)

    if algorithm == key_algorithm:
        assert (await verifier.verify(honest)).id == "ann"
    else:
        assert await rejection(verifier, honest) == Reason.ALG_OF_ANOTHER_KEY
        assert await rejection(verifier, renamed) == Reason.SIGNATURE


# --- Algorithm confusion


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("spelling", ["raw", "PEM", "DER", "JWK", "x"])
async def test_public_key_used_as_hmac_secret_is_rejected(algorithm: str, spelling: str) -> None:
    issuer = Issuer("first")
    verifier = TokenVerifier(
        Source(issuer).key_set(), issuer=BETTER_AUTH_URL, audience=AUDIENCE, leeway=0
    )
    public = issuer.private_key.public_key()
    secret = {
        "raw": public.public_bytes_raw(),
        "PEM": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "JWK": json.dumps(issuer.public_key).encode(),
        "x": issuer.public_key["x"].encode(),
    }[spelling]
    signed = f"{encode({'alg': algorithm, 'kid': 'first'})}.{encode(claims())}"
    signature = hmac.digest(secret, signed.encode(), f"sha{algorithm[2:]}")

    assert await verifier.verify(token(issuer))
    with pytest.raises(Unauthenticated) as caught:
        await verifier.verify(f"{signed}.{encode(signature)}")
    assert caught.value.reason == Reason.ALG_UNKNOWN
