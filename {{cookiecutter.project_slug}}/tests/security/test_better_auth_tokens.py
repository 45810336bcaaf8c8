"""Tokens captured from Better Auth allow exactly what `better_auth_tokens.json` lists for them.

The file says where the tokens come from. `may` lists the operations that a token allows; it is null
for tokens that the service rejects. The tests sign the captured headers and claims with their own
key.
"""

import json
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.issuer import Issuer
from tests.sample_resource import BODY, PATH, READ, WRITE
from tests.tokens import sign

TOKENS = json.loads(Path(__file__).parents[1].joinpath("better_auth_tokens.json").read_bytes())
MODE = "shared-secret" if Issuer.algorithm == "HS256" else "jwks"

OPERATIONS: dict[str, tuple[str, str, Any]] = {
    "read": ("GET", PATH, None),
    "write": ("POST", PATH, BODY),
    "delete_me": ("DELETE", "/api/v1/me", None),
}
SUCCESS = {"read": 200, "write": 201, "delete_me": 204}
SCOPES = {"tasks:read": READ, "tasks:write": WRITE}  # captured: of the sample resource

Captured = dict[str, Any]


def captured(mode: str, *, accepted: bool) -> list[Any]:
    """Return the tokens of one mode as test parameters, named by their kind."""
    return [
        pytest.param(token, id=f"{mode} {token['kind']}")
        for token in TOKENS["tokens"][mode]
        if (token["may"] is not None) is accepted
    ]


OF_THIS_MODE = captured(MODE, accepted=True)
OF_THE_OTHER = captured("jwks" if MODE == "shared-secret" else "shared-secret", accepted=True)
OTHERS = captured("shared-secret", accepted=False) + captured("jwks", accepted=False)


def current(token: Captured) -> Captured:
    """Return the claims as if issued now, with the scopes of the sample resource."""
    claims: Captured = token["claims"]
    age = int(time.time()) - claims["iat"]
    changes = {name: claims[name] + age for name in ("iat", "exp")}
    if "scope" in claims:
        changes["scope"] = " ".join(SCOPES.get(each, each) for each in claims["scope"].split())
    return claims | changes


def by_key(token: Captured, issuer: Issuer) -> Captured:
    """Return the header with the algorithm and key id of the tests."""
    key = {name: issuer.header[name] for name in ("alg", "kid") if name in issuer.header}
    header: Captured = token["header"] | key
    return header


def status(client: httpx2.Client, token: str, operation: str = "read") -> int:
    method, path, body = OPERATIONS[operation]
    headers = {"Authorization": f"Bearer {token}"}
    return client.request(method, path, headers=headers, json=body).status_code


@pytest.mark.parametrize("token", OF_THIS_MODE)
def test_token_allows_only_what_its_kind_may_do(
    client: httpx2.Client, issuer: Issuer, token: Captured
) -> None:
    signed = sign(issuer, by_key(token, issuer), current(token))

    statuses = {operation: status(client, signed, operation) for operation in OPERATIONS}

    assert statuses == {
        operation: SUCCESS[operation] if operation in token["may"] else 403
        for operation in OPERATIONS
    }


@pytest.mark.parametrize("token", OF_THE_OTHER + OTHERS)
def test_token_for_another_mode_or_purpose_returns_401(
    client: httpx2.Client, issuer: Issuer, token: Captured
) -> None:
    assert status(client, sign(issuer, token["header"], current(token))) == 401


@pytest.mark.parametrize("token", OTHERS)
def test_token_for_another_purpose_returns_401_even_with_the_right_key(
    client: httpx2.Client, issuer: Issuer, token: Captured
) -> None:
    assert status(client, sign(issuer, by_key(token, issuer), current(token))) == 401
