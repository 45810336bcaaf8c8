"""`make doctor` explains the first rule that a token breaks, and what to change."""

import asyncio
import json
import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from pydantic import SecretStr

from app.config import Settings
from app.reasons import Reason
from scripts import doctor
from tests.issuer import Issuer
from tests.sample_resource import READ, WRITE
from tests.tokens import ABSENT, AUDIENCE, BETTER_AUTH_URL, encode, sign, token

Make = Callable[[Issuer], str]


class Rejected(NamedTuple):
    make: Make
    expected: tuple[str, ...]
    settings: dict[str, Any]


def case(make: Make, *expected: str, **settings: Any) -> Rejected:
    """Return a token that the service rejects with these settings, and parts of the explanation."""
    return Rejected(make, expected, settings)


def with_(**changes: Any) -> Make:
    return lambda issuer: token(issuer, **changes)


def from_now(name: str, seconds: float, **changes: Any) -> Make:
    """Return a token with a time relative to the start of the test, not of the whole run."""
    return lambda issuer: token(issuer, **(changes | {name: time.time() + seconds}))


def text(value: str) -> Make:
    return lambda _: value


SESSION = "Better Auth's session, from a cookie"
SESSION_ID = "oBZcAQ3sFyYzmkVNlX0fXxCZwXbTb8Q1"
# Claims that Better Auth's other tokens lack.
NOT_FOR_THE_API = {"iss": ABSENT, "aud": ABSENT, "sub": ABSENT}
SESSION_DATA = {"session": {"token": SESSION_ID}, "user": {"id": "ann"}, **NOT_FOR_THE_API}

REJECTED = {
    "Bearer": case(lambda issuer: f"Bearer {token(issuer)}", "give what follows it"),
    "JSON": case(lambda issuer: json.dumps([token(issuer)]), "give the token alone"),
    "session_token": case(text(f"{SESSION_ID}.pTz%2BbA0%3D"), SESSION, "3000/api/auth/token"),
    "session_token, unsigned": case(text(SESSION_ID), "session", f"resource={AUDIENCE}"),
    "API key": case(text("a" * 64), "x-api-key", "3000/api/auth/token"),
    "session_token, named": case(text(f"better-auth.session_token={SESSION_ID}.a"), SESSION),
    "session_data": case(with_(**SESSION_DATA), SESSION),
    "session_data, expired": case(from_now("exp", -60, **SESSION_DATA), SESSION),
    "session_data, compact": case(text(encode({"session": {}, "expiresAt": 1})), SESSION),
    "session_data, encrypted": case(text("a.b.c.d.e"), SESSION),
    "session_data, for services": case(
        with_(header={"typ": "better-auth.session-cache+jwt"}, aud="better-auth:session-cache"),
        SESSION,
    ),
    "e-mail": case(with_(email="ann@example.com", **NOT_FOR_THE_API), "Better Auth's emails"),
    "cut": case(lambda issuer: token(issuer).rpartition(".")[0], "three segments", "It was cut"),
    "not JSON": case(lambda issuer: sign(issuer, b"{", b"[]"), "not JSON", "It was cut"),
    "too long": case(with_(image="x" * 9000), "too long", "jwt.definePayload"),
    "typ": case(with_(header={"typ": "logout+jwt"}), 'found "logout+jwt"', "/api/auth/token"),
    "expired": case(from_now("exp", -7260), "exp has passed", "UTC, 2 h ago", "Fetch a new one"),
    "clock ahead": case(from_now("iat", 310), "iat is in the future", "5 min from now", "NTP"),
    "too early": case(from_now("nbf", 310), "nbf is in the future", "5 min from now", "now 5,"),
    "milliseconds": case(with_(exp=1_790_000_000_000), "exp is not a point", "exp 179", "nbf none"),
    "slash": case(
        with_(iss=f"{BETTER_AUTH_URL}/"),
        f'Expected {BETTER_AUTH_URL}, found "{BETTER_AUTH_URL}/", with a slash at its end',
        "BETTER_AUTH_URL must be the same",
    ),
    "no iss": case(with_(iss=ABSENT), f"Expected {BETTER_AUTH_URL}, found none."),
    "Better Auth's own aud": case(
        with_(aud=BETTER_AUTH_URL),
        f'Expected {AUDIENCE}, found "{BETTER_AUTH_URL}"',
        "jwt.audience",
    ),
    "client": case(with_(client_id="ann"), 'client "ann" for itself', "authorization_code"),
    "bound": case(with_(cnf={"jkt": "x"}), "cnf binds", "without DPoP"),
    "scope": case(with_(scope=["tasks:read"]), "scope is not text", 'scope ["tasks:read"], client'),
    "client_id": case(with_(client_id=1), "client_id is not text", "client_id 1, azp none"),
    "azp": case(with_(azp=None), "azp is not text", "definePayload"),
    "sub": case(with_(sub="a\n\ud800"), r'found "a\n\ud800"', "jwt.getSubject"),
    "several faults": case(from_now("exp", -60, iss="x", aud="y"), "exp has passed"),
    "signed by another issuer": case(lambda _: token(Issuer(), exp=1), "signature does not verify"),
    # jinja: if cookiecutter.token_verification == "shared-secret"
    "Better Auth's default": case(
        with_(header={"alg": "EdDSA", "kid": "a"}),
        'Expected HS256, found "EdDSA"',
        "by default",
        "token_verification=jwks",
    ),
    "another secret": case(
        token,
        "The secrets differ",
        better_auth_secret=SecretStr("another secret of 32 characters."),
    ),
    # jinja: else
    "shared secret": case(
        with_(header={"alg": "HS256", "kid": ABSENT}),
        "alg is not one",
        'found "HS256". HS256 goes with',
    ),
    "unknown kid": case(with_(header={"kid": "x"}), '/api/auth/jwks has no usable key "x"'),
    "another alg": case(with_(header={"alg": "ES256"}), 'The key "first" is not for "ES256"'),
    "no key set": case(token, "No keys came from http://[::]:9/", jwks_url="http://[::]:9/"),
    # jinja: endif
}


def rejection(value: str, settings: Settings) -> str | None:
    accepted, text = asyncio.run(doctor.verdict(value, settings))
    return None if accepted else text


@pytest.mark.parametrize("name", REJECTED)
def test_rejection_is_explained(name: str, issuer: Issuer, settings: Settings) -> None:
    make, expected, changes = REJECTED[name]
    rejected = make(issuer)

    found = rejection(rejected, settings.model_copy(update=changes))

    assert found
    assert [words for words in expected if words not in found] == []
    assert rejected not in found


def test_every_reason_has_an_explanation() -> None:
    assert doctor.explanations().keys() == set(Reason)


@pytest.fixture
def _environment(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    for name, value in settings.model_dump(include=settings.model_fields_set).items():
        shown = value.get_secret_value() if isinstance(value, SecretStr) else value
        monkeypatch.setenv(name.upper(), shown)


@pytest.mark.usefixtures("_environment")
def test_accepted_token_is_reported_with_its_rights(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], issuer: Issuer
) -> None:
    monkeypatch.setenv("TOKEN", token(issuer, exp=int(time.time()) + 310) + "\n")

    assert doctor.main() == 0
    printed, _ = capsys.readouterr()
    assert re.search(r'accept .*: user "ann", good until .*, 5 min from now', printed)
    assert "allows everything that the user may do" in printed


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        (READ, f"it allows {READ}."),
        (f"openid {READ} {WRITE}", f"it allows {READ}, {WRITE}."),
        ("openid", "it allows nothing."),
        (ABSENT, "it allows nothing."),
    ],
)
def test_rights_of_an_applications_token_are_listed(
    issuer: Issuer, settings: Settings, scope: Any, allowed: str
) -> None:
    applications = token(issuer, client_id="app", scope=scope, role="admin")

    accepted, text = asyncio.run(doctor.verdict(applications, settings))

    assert accepted
    assert 'issued to an application (client_id "app"), with the scope' in text
    assert READ in text
    assert allowed in text
    assert text.endswith('The role is "admin".')


@pytest.mark.usefixtures("_environment")
def test_neither_token_nor_secret_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], issuer: Issuer
) -> None:
    rejected = token(issuer, aud=None)
    monkeypatch.setenv("TOKEN", rejected)

    assert doctor.main() == 1
    printed = "".join(capsys.readouterr())
    assert printed.startswith("The service would reject this token: aud does not name this service")
    assert rejected not in printed
    assert [value for value in issuer.settings.values() if value in printed] == []


@pytest.mark.usefixtures("_environment")
def test_missing_token_prints_the_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKEN", raising=False)

    with pytest.raises(SystemExit, match="make doctor TOKEN="):
        doctor.main()


def test_invalid_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BETTER_AUTH_URL", "localhost")

    with pytest.raises(SystemExit, match="BETTER_AUTH_URL"):
        doctor.main()
