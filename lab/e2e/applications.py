"""OAuth clients that act for users, and know only the URL of the API."""

import json
import re
import secrets
import time
from base64 import urlsafe_b64encode
from hashlib import sha256
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from lab.e2e.users import TASKS, User

REDIRECT_URI = "http://127.0.0.1:9/"
DESCRIPTION = {
    "client_name": "Planner",
    "application_type": "native",
    "redirect_uris": [REDIRECT_URI],
    "token_endpoint_auth_method": "none",
}


def digest(text: str) -> str:
    return urlsafe_b64encode(sha256(text.encode()).digest()).rstrip(b"=").decode()


def without_empty(parameters: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in parameters.items() if value}


class Application:
    """A registered client, with the metadata of the API and of its authorization server."""

    def __init__(self, api_url: str, owner: User | None = None, **description: Any) -> None:
        """Discover the authorization server and register there, as `owner` if given."""
        self._http = httpx2.Client(timeout=60, trust_env=False)
        challenge = self._http.get(api_url + TASKS).headers["WWW-Authenticate"]
        [metadata_url] = re.findall(r'resource_metadata="([^"]+)"', challenge)
        self.api = self._http.get(metadata_url).raise_for_status().json()
        [issuer] = self.api["authorization_servers"]
        found = self._http.get(f"{issuer}/.well-known/oauth-authorization-server")
        self.server = found.raise_for_status().json()
        assert self.server["issuer"] == issuer
        registered = (owner.site if owner else self._http).post(
            self.server["registration_endpoint"], json=description or DESCRIPTION
        )
        self._client = registered.raise_for_status().json()
        self._verifier = secrets.token_urlsafe(48)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._http.close()

    @property
    def id(self) -> str:
        return self._client["client_id"]

    def ask(self, user: User, scope: str, **more: str) -> dict[str, str]:
        """Have the user allow `scope`, and return the parameters of the redirect."""
        request = {
            "response_type": "code",
            "client_id": self.id,
            "redirect_uri": REDIRECT_URI,
            "scope": scope,
            "resource": self.api["resource"],
            "code_challenge": digest(self._verifier),
            "code_challenge_method": "S256",
        }
        response = user.site.get(
            self.server["authorization_endpoint"],
            params=without_empty(request | more),
            follow_redirects=False,
        )
        target = response.headers["Location"]
        if target.startswith("/consent?"):
            query = urlsplit(target).query
            target = user.auth("/oauth2/consent", accept=True, oauth_query=query).json()["url"]
        assert target.startswith(REDIRECT_URI), target
        return {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}

    def tokens(
        self, user: User, scope: str, *, proof: str | None = None, **more: str
    ) -> dict[str, Any]:
        """Have the user allow `scope`, and return the tokens for it."""
        granted = self.grant(
            "authorization_code",
            proof=proof,
            code=self.ask(user, scope, **more)["code"],
            redirect_uri=REDIRECT_URI,
            code_verifier=self._verifier,
        )
        return granted.raise_for_status().json()

    def grant(self, kind: str, *, proof: str | None = None, **values: str) -> httpx2.Response:
        """Send one request to the token endpoint."""
        identity = {"client_id": self.id, "client_secret": self._client.get("client_secret", "")}
        return self._http.post(
            self.server["token_endpoint"],
            data=without_empty({"grant_type": kind, **identity, **values}),
            headers={"DPoP": proof} if proof else {},
        )

    def bound_token(self, user: User, scope: str) -> str:
        """Return a token that is bound to a key by DPoP (RFC 9449)."""
        key = ec.generate_private_key(ec.SECP256R1())
        public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        thumbprint = {name: public[name] for name in ("crv", "kty", "x", "y")}
        claims = {
            "htm": "POST",
            "htu": self.server["token_endpoint"],
            "iat": int(time.time()),
            "jti": secrets.token_urlsafe(),
        }
        proof = jwt.encode(claims, key, "ES256", {"typ": "dpop+jwt", "jwk": public})
        jkt = digest(json.dumps(thumbprint, separators=(",", ":")))
        tokens = self.tokens(user, scope, proof=proof, dpop_jkt=jkt)
        assert tokens["token_type"] == "DPoP"
        return tokens["access_token"]
