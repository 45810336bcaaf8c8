"""Google and GitHub on loopback: a real OpenID provider that serves their host names.

The frontend and the browser resolve these names to the provider's port. Nothing else is replaced:
Better Auth's own code for both connects to it over TLS.
"""

import shutil
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Page

from lab.e2e.stack import accepts
from lab.providers.servers import Authority
from lab.servers import Server, free_ports

HOSTS = (
    "accounts.google.com",
    "oauth2.googleapis.com",
    "www.googleapis.com",
    "github.com",
    "api.github.com",
)
FOLDER = Path(__file__).parent
CLIENT_ID, CLIENT_SECRET = "task-service", "a-client-secret-of-a-provider"

_numbers = count(1001)


@dataclass(frozen=True)
class Identity:
    """An account at a provider. If `email` is empty, the provider shares no address."""

    name: str
    email: str
    verified: bool = True
    number: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "number", self.number or next(_numbers))


class IdentityProvider(Server):
    def __init__(self, folder: Path, authority: Authority) -> None:
        """`folder` must have the package oidc-provider installed."""
        for file in ("identity_provider.mjs", "known_hosts.mjs"):
            shutil.copy(FOLDER / file, folder)
        certificate = authority.write_pair(folder, "provider", *HOSTS)
        [port] = free_ports(1)
        super().__init__(
            "node identity_provider.mjs",
            folder,
            lambda: accepts(port),
            environment={
                "PORT": str(port),
                "CERTIFICATE": str(certificate),
                "CLIENT_ID": CLIENT_ID,
                "CLIENT_SECRET": CLIENT_SECRET,
            },
            log=folder / "provider.log",
        )
        self.environment = {
            "NODE_OPTIONS": f"--import {folder / 'known_hosts.mjs'}",
            "NODE_EXTRA_CA_CERTS": str(authority.write(folder / "authority.crt")),
            "IDENTITY_HOSTS": ",".join(HOSTS),
            "IDENTITY_PORT": str(port),
        }
        # `*.test` resolves to this machine, like its name in a local network.
        rules = ", ".join(
            (*(f"MAP {host} 127.0.0.1:{port}" for host in HOSTS), "MAP *.test 127.0.0.1")
        )
        self.chromium_flags = (
            f"--host-resolver-rules={rules}",
            f"--ignore-certificate-errors-spki-list={public_key_hash(certificate)}",
        )

    def serve(self, site_url: str) -> None:
        """Start, and accept this site as the redirect target."""
        self._environment["SITE_URL"] = site_url
        self.start()


def public_key_hash(certificate: Path) -> str:
    key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b64encode(sha256(der).digest()).decode()


def consents(page: Page, identity: Identity, *, failing: bool = False) -> None:
    """Sign in on the provider's page. With `failing`, its token endpoint then returns an error."""
    page.get_by_label("Account").fill(str(identity.number))
    page.get_by_label("Name").fill(identity.name)
    page.get_by_label("Email").fill(identity.email)
    page.get_by_label("Verified").set_checked(identity.verified)
    page.get_by_label("Fail afterwards").set_checked(failing)
    page.get_by_role("button", name="Continue").click()
