"""Each token that the real Better Auth issues allows what `may` lists, and no more.

`better_auth_tokens.json` says where the tokens come from. `may` lists what the service allows; it
is null for tokens that it rejects. The tests sign the tokens again with their own key, so only
headers and claims decide.
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

CALLS: dict[str, tuple[str, str, Any]] = {
    "read": ("GET", PATH, None),
    "write": ("POST", PATH, BODY),
    "delete_me": ("DELETE", "/api/v1/me", None),
}
SUCCESS = {"read": 200, "write": 201, "delete_me": 204}
SCOPES = {"tasks:read": READ, "tasks:write": WRITE}  # captured: in this project

Captured = dict[str, Any]


def captured(mode: str, *, accepted: bool) -> list[Any]:
    """Return the tokens of one mode as parameters, named by their kind."""
    return [
        pytest.param(token, id=f"{mode} {token['kind']}")
        for token in TOKENS["tokens"][mode]
        if (token["may"] is not None) is accepted
    ]


OF_THIS_MODE = captured(MODE, accepted=True)
OF_THE_OTHER = captured("jwks" if MODE == "shared-secret" else "shared-secret", accepted=True)
OTHERS = captured("shared-secret", accepted=False) + captured("jwks", accepted=False)


def current(token: Captured) -> Captured:
    """Return its claims as if it were issued now, with the scopes of the sample resource."""
    claims: Captured = token["claims"]
    age = int(time.time()) - claims["iat"]
    changes = {name: claims[name] + age for name in ("iat", "exp")}
    if "scope" in claims:
        changes["scope"] = " ".join(SCOPES.get(each, each) for each in claims["scope"].split())
    return claims | changes


def by_key(token: Captured, issuer: Issuer) -> Captured:
    """Its header, but naming the key of the tests."""
    key = {name: issuer.header[name] for name in ("alg", "kid") if name in issuer.header}
    header: Captured = token["header"] | key
    return header


def status(client: httpx2.Client, token: str, call: str = "read") -> int:
    method, path, body = CALLS[call]
    headers = {"Authorization": f"Bearer {token}"}
    return client.request(method, path, headers=headers, json=body).status_code


@pytest.mark.parametrize("token", OF_THIS_MODE)
def test_token_allows_only_what_its_kind_may_do(
    client: httpx2.Client, issuer: Issuer, token: Captured
) -> None:
    signed = sign(issuer, by_key(token, issuer), current(token))

    statuses = {call: status(client, signed, call) for call in CALLS}

    assert statuses == {call: SUCCESS[call] if call in token["may"] else 403 for call in CALLS}


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
