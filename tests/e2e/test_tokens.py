"""Every other token that Better Auth signs is refused, whatever ids its users have.

The shapes of all of them are in the generated project, for its own tests: with E2E_UPDATE=1 this
run writes them, else it says whether Better Auth still makes the same.
"""

import json
import os
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from conftest import PROJECT, RenderedProject

from e2e.people import TASKS, Person, parts
from e2e.stack import Stack, replace, running
from e2e.workshop import Workshop

SHAPES = PROJECT / "tests" / "better_auth_tokens.json"
IDS = {"shared-secret": "uuid", "jwks": "serial"}

FOR_API = ("API token", "API token with the whole user")
OTHERS = ("session cookie", "e-mail verification", "change of e-mail")

# What people set up with Better Auth's documentation, and what shows the mails that it sends.
CONFIGURATION = """betterAuth({
  session: { cookieCache: { enabled: true, strategy: "jwt" } },
  advanced: { database: { generateId: "%s" } },
  emailVerification: {
    sendOnSignUp: true,
    sendVerificationEmail: async ({ token }) => {
      const { appendFile } = await import("node:fs/promises");
      await appendFile("sent", `${token}\\n`);
    },
  },
"""
WHOLE_USER = """definePayload: ({ user }) => (user.name === "Whole" ? user : {})"""


def change(project: RenderedProject, mode: str) -> None:
    lib = project.path / "frontend" / "lib"
    replace(
        lib / "auth.ts",
        ("betterAuth({\n", CONFIGURATION % IDS[mode]),
        ("  user: {\n", "  user: { changeEmail: { enabled: true },\n"),
    )
    replace(lib / f"tokens-{mode}.ts", ("definePayload: () => ({})", WHOLE_USER))
    if mode == "jwks":
        replace(lib / "tokens-jwks.ts", ("jwt({\n", "jwt({ sessionCookieCache: true,\n"))


@pytest.fixture(scope="module", params=IDS)
def mode(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def stack(mode: str, workshop: Workshop) -> Iterator[Stack]:
    with running(workshop, "sqlite", mode, change=lambda project: change(project, mode)) as stack:
        yield stack


@pytest.fixture(scope="module")
def ann(stack: Stack) -> Person:
    return stack.sign_up("Ann")


@pytest.fixture(scope="module")
def tokens(stack: Stack, ann: Person) -> dict[str, str]:
    """One token of each kind that Better Auth made for Ann, by kind."""
    ann.auth("/change-email", newEmail="anna@example.com")
    verification, change_of_email = (stack.frontend / "sent").read_text().split()[:2]
    made = (
        ann.token(),
        stack.sign_up("Whole").token(),
        ann.site.cookies["better-auth.session_data"],
        verification,
        change_of_email,
    )
    return dict(zip(FOR_API + OTHERS, made, strict=True))


@pytest.mark.parametrize("kind", FOR_API)
def test_a_token_for_the_api_is_accepted(ann: Person, tokens: dict[str, str], kind: str) -> None:
    assert ann.call("GET", TASKS, token=tokens[kind]).status_code == 200


@pytest.mark.parametrize("kind", OTHERS)
def test_any_other_token_of_better_auth_is_refused(
    ann: Person, tokens: dict[str, str], kind: str
) -> None:
    refused = ann.call("GET", TASKS, token=tokens[kind])

    assert refused.status_code == 401
    assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]


def test_ids_of_every_form_tell_people_apart(stack: Stack, mode: str) -> None:
    ann, bob = stack.sign_up("Ann"), stack.sign_up("Bob")
    ann.add("Ann's")
    bob.add("Bob's")
    ids = [parts(person.token())[1]["sub"] for person in (ann, bob)]

    assert ann.titles() == ["Ann's"]
    assert bob.titles() == ["Bob's"]
    assert all(UUID(each) if mode == "shared-secret" else each.isdecimal() for each in ids)


def test_the_shapes_in_the_project_are_those_that_better_auth_makes(
    stack: Stack, tokens: dict[str, str], mode: str
) -> None:
    captured = [{"kind": kind, **at_home(token, stack)} for kind, token in tokens.items()]

    if os.environ.get("E2E_UPDATE"):
        keep(mode, captured, installed_version(stack))
    kept = json.loads(SHAPES.read_text())["tokens"][mode]
    assert [shape(token) for token in captured] == [shape(token) for token in kept]


def at_home(token: str, stack: Stack) -> dict[str, Any]:
    """Header and claims, with the default addresses and without what opens a session."""
    header, claims = parts(token)
    if session := claims.get("session"):
        session["token"] = "x" * len(session["token"])
    if "sid" in claims:
        claims["sid"] = "x" * len(claims["sid"])
    text = json.dumps({"header": header, "claims": claims})
    return json.loads(
        text.replace(stack.site_url, "http://localhost:3000").replace(
            stack.api_url, "http://localhost:8000"
        )
    )


def shape(value: Any, name: str = "") -> Any:
    """Names, types, and the values that are the same in each such token."""
    if isinstance(value, dict):
        return {name: shape(member, name) for name, member in value.items()}
    return value if name in ("kind", "alg", "typ", "iss", "aud") else type(value).__name__


def keep(mode: str, captured: list[dict[str, Any]], version: str) -> None:
    kept = json.loads(SHAPES.read_text())
    kept["better_auth"] = version
    kept["tokens"][mode] = captured
    SHAPES.write_text(json.dumps(kept, indent=2) + "\n")


def installed_version(stack: Stack) -> str:
    package = stack.frontend / "node_modules" / "better-auth" / "package.json"
    return json.loads(package.read_text())["version"]
