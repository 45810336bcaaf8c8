"""Tokens as the real Better Auth makes them: those for the API open it, and no others do.

`better_auth_tokens.json` says where they come from. They are signed anew here, with the key of the
tests, so that nothing but what is in them decides.
"""

import json
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.issuer import Issuer
from tests.sample_resource import PATH
from tests.tokens import sign

TOKENS = json.loads(Path(__file__).parents[1].joinpath("better_auth_tokens.json").read_bytes())
MODE = "shared-secret" if Issuer.algorithm == "HS256" else "jwks"

Captured = dict[str, Any]


def captured(mode: str, *, for_api: bool) -> list[Any]:
    """The tokens of one mode as parameters, named by their kind."""
    return [
        pytest.param(token, id=f"{mode} {token['kind']}")
        for token in TOKENS["tokens"][mode]
        if token["kind"].startswith("API token") is for_api
    ]


OF_THIS_MODE = captured(MODE, for_api=True)
OF_THE_OTHER = captured("jwks" if MODE == "shared-secret" else "shared-secret", for_api=True)
OTHERS = captured("shared-secret", for_api=False) + captured("jwks", for_api=False)


def current(token: Captured) -> Captured:
    """Its claims, as if it were made now."""
    claims: Captured = token["claims"]
    age = int(time.time()) - claims["iat"]
    return claims | {name: claims[name] + age for name in ("iat", "exp")}


def by_key(token: Captured, issuer: Issuer) -> Captured:
    """Its header, but naming the key of the tests."""
    key = {name: issuer.header[name] for name in ("alg", "kid") if name in issuer.header}
    header: Captured = token["header"] | key
    return header


def status(client: httpx2.Client, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return client.get(PATH, headers=headers).status_code


@pytest.mark.parametrize("token", OF_THIS_MODE)
def test_a_token_for_the_api_opens_it(
    client: httpx2.Client, issuer: Issuer, token: Captured
) -> None:
    assert status(client, sign(issuer, by_key(token, issuer), current(token))) == 200


@pytest.mark.parametrize("token", OF_THE_OTHER + OTHERS)
def test_any_other_token_is_refused(client: httpx2.Client, issuer: Issuer, token: Captured) -> None:
    assert status(client, sign(issuer, token["header"], current(token))) == 401


@pytest.mark.parametrize("token", OTHERS)
def test_any_other_token_is_refused_though_the_right_key_signed_it(
    client: httpx2.Client, issuer: Issuer, token: Captured
) -> None:
    assert status(client, sign(issuer, by_key(token, issuer), current(token))) == 401
