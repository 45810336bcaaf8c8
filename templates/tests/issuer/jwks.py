"""Signs tokens as Better Auth's `jwt()` plugin does, and publishes the keys over HTTP."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt import PyJWK


class Issuer:
    algorithm = "EdDSA"

    def __init__(self, key_id: str = "first") -> None:
        self.private_key = Ed25519PrivateKey.generate()
        self.header = {"alg": self.algorithm, "kid": key_id}
        self.url = ""

    @property
    def settings(self) -> dict[str, Any]:
        """The settings with which the service trusts this issuer."""
        return {"jwks_url": self.url}

    @property
    def public_key(self) -> dict[str, str]:
        """The public key as Better Auth publishes it in the key set."""
        x = (
            urlsafe_b64encode(self.private_key.public_key().public_bytes_raw())
            .rstrip(b"=")
            .decode()
        )
        return {"alg": "EdDSA", "crv": "Ed25519", "kty": "OKP", "x": x, "kid": self.header["kid"]}

    @property
    def key(self) -> PyJWK:
        """The key that verifies its tokens."""
        return PyJWK(self.public_key)

    def signature(self, signed: bytes) -> bytes:
        return self.private_key.sign(signed)


@contextmanager
def running_issuer() -> Iterator[Issuer]:
    issuer = Issuer()

    class KeySetHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"keys": [issuer.public_key]}).encode())

        def log_message(self, *_: Any) -> None:
            """Do not log requests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), KeySetHandler) as server:
        issuer.url = f"http://127.0.0.1:{server.server_port}/api/auth/jwks"
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield issuer
        server.shutdown()
