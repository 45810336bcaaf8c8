"""The keys for HS256: the secret that the service shares with Better Auth."""

from collections.abc import Sequence

from jwt import PyJWK
from jwt.utils import base64url_encode
from pydantic import SecretStr

from app.config import Settings
from app.security.tokens import UnverifiedToken


class SharedSecret:
    """The current secret, and the previous one while it is being replaced."""

    def __init__(self, current: SecretStr, previous: SecretStr | None = None) -> None:
        self._keys = [_hs256(secret) for secret in (current, previous) if secret]

    async def keys_for(self, _: UnverifiedToken) -> Sequence[PyJWK]:
        return self._keys


def _hs256(secret: SecretStr) -> PyJWK:
    encoded = base64url_encode(secret.get_secret_value().encode())
    return PyJWK({"kty": "oct", "alg": "HS256", "k": encoded.decode()})


def key_source(settings: Settings) -> SharedSecret:
    return SharedSecret(settings.better_auth_secret, settings.better_auth_secret_previous)
