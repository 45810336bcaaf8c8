"""Issuers of tokens: with a shared secret, or with a key set that a server publishes."""

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

URL, AUDIENCE = "http://localhost:3000", "http://localhost:8000"
LIFETIME = 3600  # seconds: longer than any test


def claims(subject: str) -> dict[str, Any]:
    now = int(time.time())
    return {"iss": URL, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + LIFETIME}


class SharedSecret:
    def __init__(self) -> None:
        self._secret = secrets.token_urlsafe(48)
        self.settings: Mapping[str, str] = {"BETTER_AUTH_SECRET": self._secret}

    def token(self, subject: str) -> str:
        return jwt.encode(claims(subject), self._secret, "HS256")


class KeySet:
    """A key, and the server that publishes it. The server can be stopped and started again."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        entry = OKPAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        self._document = json.dumps({"keys": [entry | {"alg": "EdDSA", "kid": "first"}]}).encode()
        self._port = 0
        self.open()
        self.settings: Mapping[str, str] = {
            "JWKS_URL": f"http://127.0.0.1:{self._port}/api/auth/jwks",
            "JWKS_COOLDOWN_SECONDS": "0.5",
            "JWKS_TTL_SECONDS": "1",
        }

    def token(self, subject: str, key_id: str = "first") -> str:
        return jwt.encode(claims(subject), self._key, "EdDSA", {"kid": key_id})

    def open(self) -> None:
        document = self._document

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(document)

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def away(self) -> Iterator[None]:
        self.close()
        try:
            yield
        finally:
            self.open()


Issuer = SharedSecret | KeySet
