"""Each token that Better Auth issues allows what docs/authorization.md says, and no more.

The generated project has the shapes of all tokens, for its own tests. With E2E_UPDATE=1, this run
writes them. Without it, it checks that Better Auth still issues tokens of these shapes.
"""

import json
import os
from typing import Any
from uuid import UUID

import pytest

from lab.e2e.applications import Application
from lab.e2e.programs import connect, with_key
from lab.e2e.stack import Stack
from lab.e2e.users import ME, TASKS, User, parts
from lab.servers import wait_until
from tests.rendering import PROJECT

SHAPES = PROJECT / "tests" / "better_auth_tokens.json"
CALLS = {"read": ("GET", TASKS), "write": ("POST", TASKS), "delete_me": ("DELETE", ME)}
ALL_SCOPES = "tasks:read tasks:write"
SUCCESS = {"read": 200, "write": 201, "delete_me": 204}

# What each kind of token allows. The service rejects those with None.
EVERYTHING = list(CALLS)
MAY: dict[str, list[str] | None] = {
    "API token": EVERYTHING,
    "API token with the whole user": EVERYTHING,
    "API token by an API key": EVERYTHING,
    "API token by the device flow": EVERYTHING,
    "application with tasks:read": ["read"],
    "application with tasks:write": ["write"],
    "application with both scopes": ["read", "write"],
    "application with another scope": [],
    "application after a refresh": ["read"],
    "client credentials": None,
    "DPoP-bound": None,
    "session cookie": None,
    "e-mail verification": None,
    "change of e-mail": None,
    "ID token": None,  # with jwks only
}


@pytest.fixture(scope="module")
def ann(authorization: Stack) -> User:
    return authorization.sign_up("Ann")


@pytest.fixture(scope="module")
def application(authorization: Stack) -> Application:
    return authorization.application()


@pytest.fixture(scope="module")
def machine(authorization: Stack, ann: User) -> Application:
    """A client that gets tokens for itself, which only an administrator can allow."""
    machine = authorization.application(
        owner=ann,
        client_name="Machine",
        grant_types=["client_credentials"],
        response_types=[],
        token_endpoint_auth_method="client_secret_post",
    )
    authorization.change_auth(
        "UPDATE oauthClient SET clientCredentialsScopes = ? WHERE clientId = ?",
        json.dumps(ALL_SCOPES.split()),
        machine.id,
    )
    return machine


@pytest.fixture(scope="module")
def tokens(
    authorization: Stack, mode: str, ann: User, application: Application, machine: Application
) -> dict[str, str]:
    """One token of each kind that Better Auth issues for Ann, by kind."""
    ann.auth("/change-email", newEmail="anna@example.com")
    # Better Auth responds before it sends emails.
    wait_until(lambda: len(emailed(authorization, ann)) == 2, 10, lambda: "no email was sent")
    verification, change_of_email = emailed(authorization, ann)
    refresh_token = application.tokens(ann, "tasks:read offline_access")["refresh_token"]
    refreshed = application.grant("refresh_token", refresh_token=refresh_token)
    of_machine = machine.grant(
        "client_credentials", scope=ALL_SCOPES, resource=machine.api["resource"]
    )
    made = {
        "API token": ann.token(),
        "API token with the whole user": authorization.sign_up("Whole").token(),
        "API token by an API key": with_key(authorization, ann.create_key()["key"]).token(),
        "API token by the device flow": connect(authorization, ann).token(),
        "application with tasks:read": application.tokens(ann, "tasks:read")["access_token"],
        "application with tasks:write": application.tokens(ann, "tasks:write")["access_token"],
        "application with both scopes": application.tokens(ann, ALL_SCOPES)["access_token"],
        "application with another scope": application.tokens(ann, "offline_access")["access_token"],
        "application after a refresh": refreshed.json()["access_token"],
        "client credentials": of_machine.raise_for_status().json()["access_token"],
        "DPoP-bound": application.bound_token(ann, "tasks:read"),
        "session cookie": ann.site.cookies["task-service.session_data"],
        "e-mail verification": verification,
        "change of e-mail": change_of_email,
    }
    if mode == "jwks":
        made["ID token"] = application.tokens(ann, "openid tasks:read")["id_token"]
    return made


def emailed(stack: Stack, user: User) -> list[str]:
    """Return the tokens in this user's emails."""
    tokens = (stack.frontend / "sent").read_text().split()
    return [token for token in tokens if parts(token)[1]["email"] == user.email]


def test_each_token_allows_only_what_its_kind_may_do(ann: User, tokens: dict[str, str]) -> None:
    statuses = {
        kind: {name: status(ann, call, token) for name, call in CALLS.items()}
        for kind, token in tokens.items()
    }

    assert statuses == {kind: expected(MAY[kind]) for kind in tokens}


def status(user: User, call: tuple[str, str], token: str) -> int:
    body = {"json": {"title": "x"}} if call[0] == "POST" else {}
    return user.call(*call, token=token, **body).status_code


def expected(may: list[str] | None) -> dict[str, int]:
    if may is None:
        return dict.fromkeys(CALLS, 401)
    return {name: SUCCESS[name] if name in may else 403 for name in CALLS}


def test_opaque_token_is_rejected(ann: User, application: Application) -> None:
    opaque = application.tokens(ann, "tasks:read", resource="")["access_token"]

    assert ann.call("GET", TASKS, token=opaque).status_code == 401


def test_users_are_distinguished_with_uuid_and_serial_ids(authorization: Stack, mode: str) -> None:
    ann, bob = authorization.sign_up("Ann"), authorization.sign_up("Bob")
    ann.add("Ann's")
    bob.add("Bob's")
    ids = [parts(user.token())[1]["sub"] for user in (ann, bob)]

    assert ann.titles() == ["Ann's"]
    assert bob.titles() == ["Bob's"]
    assert all(UUID(each) if mode == "shared-secret" else each.isdecimal() for each in ids)


def test_stored_shapes_are_those_that_better_auth_issues(
    authorization: Stack,
    tokens: dict[str, str],
    mode: str,
    application: Application,
    machine: Application,
) -> None:
    clients = {application.id: "application", machine.id: "machine"}
    captured = [
        {"kind": kind, "may": MAY[kind], **at_home(token, authorization, clients)}
        for kind, token in tokens.items()
    ]

    if os.environ.get("E2E_UPDATE"):
        keep(mode, captured, installed_version(authorization))
    kept = json.loads(SHAPES.read_text())["tokens"][mode]
    assert [shape(token) for token in captured] == [shape(token) for token in kept]


def at_home(token: str, stack: Stack, clients: dict[str, str]) -> dict[str, Any]:
    """Return header and claims, with the default URLs and without what looks like a secret."""
    header, claims = parts(token)
    for values in (claims, claims.get("session", {}), claims.get("cnf", {})):
        for name in RANDOM & values.keys():
            values[name] = "x" * len(values[name])
    text = json.dumps({"header": header, "claims": claims})
    for there, here in clients.items():
        text = text.replace(there, here)
    return json.loads(
        text.replace(stack.site_url, "http://localhost:3000").replace(
            stack.api_url, "http://localhost:8000"
        )
    )


RANDOM = {"token", "sid", "jti", "jkt", "at_hash"}
EXACT = ("kind", "may", "alg", "typ", "iss", "aud", "scope", "client_id", "azp")


def shape(value: Any, name: str = "") -> Any:
    """Return names, types, and the values that are the same in each token of a kind."""
    if isinstance(value, dict):
        return {name: shape(member, name) for name, member in value.items()}
    return value if name in EXACT else type(value).__name__


def keep(mode: str, captured: list[dict[str, Any]], version: str) -> None:
    kept = json.loads(SHAPES.read_text())
    kept["better_auth"] = version
    kept["tokens"][mode] = captured
    SHAPES.write_text(json.dumps(kept, indent=2) + "\n")


def installed_version(stack: Stack) -> str:
    package = stack.frontend / "node_modules" / "better-auth" / "package.json"
    return json.loads(package.read_text())["version"]
