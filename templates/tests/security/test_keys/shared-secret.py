"""The shared secret: which secrets verify tokens, and which ones stop the start."""

import hmac
import secrets
from base64 import b64encode
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from app.config import Settings
from app.errors import Unauthenticated
from app.main import create_app
from app.security.keys import SharedSecret
from app.security.verifier import TokenVerifier
from tests.issuer import Issuer
from tests.tokens import AUDIENCE, BETTER_AUTH_URL, claims, encode, token


def verifier_with(current: str, previous: str | None = None) -> TokenVerifier:
    keys = SharedSecret(SecretStr(current), SecretStr(previous) if previous else None)
    return TokenVerifier(keys, issuer=BETTER_AUTH_URL, audience=AUDIENCE, leeway=0)


async def test_previous_secret_is_still_accepted() -> None:
    old, new = Issuer(), Issuer()
    verifier = verifier_with(new.secret, previous=old.secret)

    assert await verifier.verify(token(old))
    assert await verifier.verify(token(new))


async def test_secret_that_is_no_longer_configured_is_rejected() -> None:
    old, new = Issuer(), Issuer()

    with pytest.raises(Unauthenticated, match="signature does not verify"):
        await verifier_with(new.secret).verify(token(old))


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
async def test_signature_with_another_hash_is_rejected(algorithm: str) -> None:
    secret = secrets.token_urlsafe(48)
    signed = f"{encode({'alg': algorithm})}.{encode(claims())}"
    signature = hmac.digest(secret.encode(), signed.encode(), f"sha{algorithm[2:]}")

    with pytest.raises(Unauthenticated):
        await verifier_with(secret).verify(f"{signed}.{encode(signature)}")


def test_repr_does_not_show_the_secret() -> None:
    secret = secrets.token_urlsafe(48)
    keys = SharedSecret(SecretStr(secret))

    assert secret not in repr(keys) + repr(vars(keys))


@pytest.mark.parametrize("name", ["better_auth_secret", "better_auth_secret_previous"])
@pytest.mark.parametrize(
    "bad",
    [
        "0123456789abcdefghijklmnopqrstu",  # one too few
        "x" * 64,
        "ab" * 32,
        "better-auth-secret-12345678901234567890",
        "CHANGE_ME-CHANGE_ME-CHANGE_ME-0123456789",
    ],
)
def test_weak_secret_is_rejected_and_not_shown(name: str, bad: str) -> None:
    values: dict[str, Any] = {"better_auth_secret": secrets.token_urlsafe(48)} | {name: bad}

    with pytest.raises(ValidationError) as caught:
        Settings(**values)

    assert caught.value.errors()[0]["loc"] == (name,)
    assert bad not in str(caught.value)


def test_missing_secret_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BETTER_AUTH_SECRET", "")

    with pytest.raises(SystemExit, match=r"^BETTER_AUTH_SECRET: is not set. Set it in"):
        create_app()


def test_secret_generated_by_openssl_is_accepted() -> None:
    good = b64encode(secrets.token_bytes(32)).decode()

    assert (
        Settings(better_auth_secret=SecretStr(good)).better_auth_secret.get_secret_value() == good
    )
