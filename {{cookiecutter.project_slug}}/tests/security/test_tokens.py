"""The verifier rejects every known attack with a forged or malformed token."""

import json
import string
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jwt import PyJWK

from app.config import Settings
from app.errors import Unauthenticated
from app.security.keys import key_source
from app.security.tokens import MAX_TOKEN_LENGTH, UnverifiedToken, read_token
from app.security.verifier import TokenVerifier, User
from tests.issuer import Issuer
from tests.tokens import ABSENT, AUDIENCE, BETTER_AUTH_URL, claims, encode, sign, token

LEEWAY = 5


@pytest.fixture(scope="session")
def verifier(settings: Settings) -> TokenVerifier:
    return TokenVerifier(
        key_source(settings), issuer=BETTER_AUTH_URL, audience=AUDIENCE, leeway=LEEWAY
    )


async def rejection(verifier: TokenVerifier, bad: str) -> str:
    """Return the reason why `bad` is rejected."""
    with pytest.raises(Unauthenticated) as caught:
        await verifier.verify(bad)
    assert caught.value.reason
    return caught.value.reason


async def test_better_auth_token_is_accepted(verifier: TokenVerifier, issuer: Issuer) -> None:
    user = await verifier.verify(token(issuer, sub="ann"))

    assert isinstance(user, User)
    assert user.id == "ann"


@pytest.mark.parametrize(
    "subject",
    # pragma: allowlist nextline secret
    ["1", "Wb1yPxJMKTvXqJQmLbcBqvMkGqvZ0e7F", "0190e0c4-52f5-7d3c-8f5e-3c1f4d5e6f70", "x" * 255,
     "a b", "Zoë", "' OR 1=1 --"],
)  # fmt: skip
async def test_user_id_is_the_sub_claim_unchanged(
    verifier: TokenVerifier, issuer: Issuer, subject: str
) -> None:
    assert (await verifier.verify(token(issuer, sub=subject))).id == subject


@pytest.mark.parametrize(
    ("role", "roles"),
    [
        ("admin", {"admin"}),
        ("user,admin", {"user", "admin"}),
        # Case-sensitive and not trimmed, like Better Auth's own check.
        ("Admin, admin,", {"Admin", " admin"}),
        ("", set()),
        *((value, set()) for value in (ABSENT, None, True, 1, ["admin"], {"admin": True})),
    ],
)
async def test_roles_are_read_from_strings_only(
    verifier: TokenVerifier, issuer: Issuer, role: object, roles: set[str]
) -> None:
    assert (await verifier.verify(token(issuer, role=role))).roles == roles


async def test_user_may_do_exactly_what_the_scope_names(
    verifier: TokenVerifier, issuer: Issuer
) -> None:
    own = await verifier.verify(token(issuer))
    limited = await verifier.verify(token(issuer, scope="tasks:read x"))

    assert own.may("tasks:read")
    assert limited.may("tasks:read")
    assert not limited.may("tasks:rea")
    assert not limited.may("tasks:read x")


@pytest.mark.parametrize("typ", [ABSENT, "JWT", "jwt", "at+jwt", "AT+JWT"])
async def test_each_type_of_access_token_is_accepted(
    verifier: TokenVerifier, issuer: Issuer, typ: Any
) -> None:
    assert await verifier.verify(token(issuer, header={"typ": typ}))


@pytest.mark.parametrize("audience", [AUDIENCE, [AUDIENCE], ["other", AUDIENCE]])
async def test_one_matching_audience_of_several_is_accepted(
    verifier: TokenVerifier, issuer: Issuer, audience: Any
) -> None:
    assert await verifier.verify(token(issuer, aud=audience))


# --- Tokens that were valid before


class Keys:
    """A key source whose keys a test can remove and replace."""

    def __init__(self, *keys: PyJWK) -> None:
        self.keys = keys

    async def keys_for(self, _: UnverifiedToken) -> Sequence[PyJWK]:
        return self.keys


@pytest.fixture
def keys(issuer: Issuer) -> Keys:
    return Keys(issuer.key)


async def test_verified_token_is_rejected_once_it_has_expired(keys: Keys, issuer: Issuer) -> None:
    now = time.time()
    verifier = TokenVerifier(
        keys, issuer=BETTER_AUTH_URL, audience=AUDIENCE, leeway=0, clock=lambda: now
    )
    good = token(issuer, exp=int(now) + 10)
    await verifier.verify(good)

    now += 11

    assert await rejection(verifier, good) == "exp has passed"


async def test_verified_token_is_rejected_once_its_key_is_removed(
    keys: Keys, issuer: Issuer
) -> None:
    verifier = TokenVerifier(keys, issuer=BETTER_AUTH_URL, audience=AUDIENCE, leeway=LEEWAY)
    good = token(issuer)
    await verifier.verify(good)

    keys.keys = ()

    assert await rejection(verifier, good) == "alg is not that of the key"


async def test_verified_token_is_rejected_once_its_key_is_replaced(
    keys: Keys, issuer: Issuer
) -> None:
    verifier = TokenVerifier(keys, issuer=BETTER_AUTH_URL, audience=AUDIENCE, leeway=LEEWAY)
    good = token(issuer)
    await verifier.verify(good)

    keys.keys = (Issuer().key,)

    assert await rejection(verifier, good) == "signature does not verify"


async def test_number_of_cached_tokens_is_limited(
    keys: Keys, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.security.verifier.MAX_REMEMBERED", 3)
    verifier = TokenVerifier(keys, issuer=BETTER_AUTH_URL, audience=AUDIENCE, leeway=LEEWAY)

    users = [(await verifier.verify(token(issuer, sub=str(n)))).id for n in range(5)]

    assert users == ["0", "1", "2", "3", "4"]
    assert len(verifier._accepted) == 3
    assert [each.user.id for each in verifier._accepted.values()] == ["2", "3", "4"]


async def test_rejected_token_is_not_cached(keys: Keys, issuer: Issuer) -> None:
    verifier = TokenVerifier(keys, issuer=BETTER_AUTH_URL, audience=AUDIENCE, leeway=LEEWAY)

    await rejection(verifier, token(Issuer()))
    await rejection(verifier, token(issuer, header={"alg": "none"}))

    assert not verifier._accepted


# --- The signature


async def test_changed_payload_is_rejected(verifier: TokenVerifier, issuer: Issuer) -> None:
    header, _, signature = token(issuer, sub="ann").split(".")
    forged = ".".join((header, encode(claims(sub="bob")), signature))

    assert await rejection(verifier, forged) == "signature does not verify"


async def test_signature_with_one_changed_bit_is_rejected(
    verifier: TokenVerifier, issuer: Issuer
) -> None:
    signed = f"{encode(issuer.header)}.{encode(claims())}"
    signature = issuer.signature(signed.encode())

    for position in (0, len(signature) // 2, -1):
        changed = bytearray(signature)
        changed[position] ^= 1
        forged = f"{signed}.{encode(bytes(changed))}"
        assert await rejection(verifier, forged) == "signature does not verify"


@pytest.mark.parametrize(
    "change",
    [lambda signature: signature[:-1], lambda signature: signature + b"\0", lambda _: b"\0"],
    ids=["shorter", "longer", "one byte"],
)
async def test_signature_of_another_length_is_rejected(
    verifier: TokenVerifier, issuer: Issuer, change: Callable[[bytes], bytes]
) -> None:
    signed = f"{encode(issuer.header)}.{encode(claims())}"
    forged = f"{signed}.{encode(change(issuer.signature(signed.encode())))}"

    assert await rejection(verifier, forged) == "signature does not verify"


async def test_token_signed_with_another_key_is_rejected(verifier: TokenVerifier) -> None:
    other_issuer = Issuer()

    assert await rejection(verifier, token(other_issuer)) == "signature does not verify"


@pytest.mark.parametrize(
    "algorithm",
    ["none", "None", "NONE", "nOnE", "", "HS384", "HS512", "ES384", "RS512", "ES512", "PS256",
     "hs256", "eddsa", "Ed448", "HS256 ", "\x00"],
)  # fmt: skip
async def test_other_algorithms_are_rejected(
    verifier: TokenVerifier, issuer: Issuer, algorithm: str
) -> None:
    forged = token(issuer, header={"alg": algorithm})

    assert await rejection(verifier, forged) in (
        "alg is not that of the key",
        "alg is not one that Better Auth signs with",
    )


@pytest.mark.parametrize("algorithm", [ABSENT, None, 256, ["HS256"], {"alg": "HS256"}, True])
async def test_alg_that_is_not_a_string_is_rejected(
    verifier: TokenVerifier, issuer: Issuer, algorithm: Any
) -> None:
    forged = token(issuer, header={"alg": algorithm})

    assert await rejection(verifier, forged) == "alg is not text"


async def test_unsigned_token_is_rejected(verifier: TokenVerifier, issuer: Issuer) -> None:
    header = encode(issuer.header | {"alg": "none"})

    for unsigned in (f"{header}.{encode(claims())}.", f"{header}.{encode(claims())}"):
        assert await rejection(verifier, unsigned) == "token is not three segments of base64url"


# --- The compact serialization


MALFORMED = {
    "empty": lambda _: "",
    "two segments": lambda t: t.replace(".", "", 1),
    "four segments": lambda t: t + ".",
    "five segments, as in a JWE": lambda t: t + ".AAAA.AAAA",
    "empty segment": lambda t: "." + t.partition(".")[2],
    "padding": lambda t: t + "=",
    "trailing space": lambda t: t + " ",
    "trailing newline": lambda t: t + "\n",
    "leading newline": lambda t: "\n" + t,
    "space within": lambda t: t.replace(".", " .", 1),
    "NUL": lambda t: t.replace(".", "\x00.", 1),
    "standard base64 alphabet": lambda t: t[:-4] + "+/+/",
    "non-ASCII character": lambda t: t[:-1] + "é",
    "JSON serialization": lambda t: json.dumps({"payload": t}),
}


@pytest.mark.parametrize("change", MALFORMED.values(), ids=MALFORMED.keys())
async def test_anything_but_the_compact_serialization_is_rejected(
    verifier: TokenVerifier, issuer: Issuer, change: Callable[[str], str]
) -> None:
    forged = change(token(issuer))

    assert await rejection(verifier, forged) == "token is not three segments of base64url"


async def test_signature_in_non_canonical_base64url_is_rejected(
    verifier: TokenVerifier, issuer: Issuer
) -> None:
    good = token(issuer)
    alphabet = f"{string.ascii_uppercase}{string.ascii_lowercase}{string.digits}-_"
    respelled = good[:-1] + alphabet[alphabet.index(good[-1]) ^ 1]

    assert await rejection(verifier, respelled) == "segment is not canonical base64url"


async def test_segment_of_impossible_length_is_rejected(
    verifier: TokenVerifier, issuer: Issuer
) -> None:
    header, payload, _ = token(issuer).split(".")

    assert await rejection(verifier, f"{header}.{payload}.AAAAA") == "segment is not base64url"


async def test_token_over_the_length_limit_is_rejected(
    verifier: TokenVerifier, issuer: Issuer
) -> None:
    assert await verifier.verify(token(issuer, padding="x" * 5_000))
    forged = token(issuer, padding="x" * MAX_TOKEN_LENGTH)

    assert await rejection(verifier, forged) == "token is too long"


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff",
        json.dumps(claims()).encode("utf-16"),
        json.dumps(claims()).encode("utf-8-sig"),
        b"{",
        b"{'sub': 'ann'}",
        b'{"exp": NaN}',
        b'{"exp": Infinity}',
        b'{"n": 1' + b"0" * 5_000 + b"}",
        b"[" * 5_000,
    ],
)
async def test_payload_that_is_not_json_is_rejected(
    verifier: TokenVerifier, issuer: Issuer, payload: bytes
) -> None:
    forged = sign(issuer, issuer.header, payload)

    assert await rejection(verifier, forged) == "segment is not JSON in UTF-8"


@pytest.mark.parametrize("payload", [b"[]", b"null", b'"ann"', b"1"])
async def test_payload_that_is_not_an_object_is_rejected(
    verifier: TokenVerifier, issuer: Issuer, payload: bytes
) -> None:
    forged = sign(issuer, issuer.header, payload)

    assert await rejection(verifier, forged) == "segment is not a JSON object"


async def test_nested_token_is_rejected(verifier: TokenVerifier, issuer: Issuer) -> None:
    nested = sign(issuer, issuer.header, token(issuer).encode())
    announced = token(issuer, header={"cty": "JWT"})

    assert await rejection(verifier, nested) == "segment is not JSON in UTF-8"
    assert await rejection(verifier, announced) == "header has a parameter that is not supported"


@pytest.mark.parametrize("part", ["header", "payload", "nested"])
async def test_duplicate_json_members_are_rejected(
    verifier: TokenVerifier, issuer: Issuer, part: str
) -> None:
    header = payload = b""
    if part == "header":
        header = json.dumps(issuer.header).encode()[:-1] + b', "alg": "none"}'
    elif part == "payload":
        payload = json.dumps(claims()).encode()[:-1] + b', "sub": "bob"}'
    else:
        payload = json.dumps(claims()).encode()[:-1] + b', "act": {"sub": 1, "sub": 2}}'

    forged = sign(issuer, header or issuer.header, payload or claims())

    assert await rejection(verifier, forged) == "JSON object has duplicate members"


# --- The header


@pytest.mark.parametrize(
    "typ",
    ["better-auth.session-cache+jwt", "logout+jwt", "dpop+jwt", "JWS", "JOSE", "", " JWT", None,
     1, ["JWT"], True],
)  # fmt: skip
async def test_other_token_types_are_rejected(
    verifier: TokenVerifier, issuer: Issuer, typ: Any
) -> None:
    forged = token(issuer, header={"typ": typ})

    assert await rejection(verifier, forged) == "typ is not that of an access token"


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]},
        {"crit": []},
        {"crit": ["b64"], "b64": False},
        {"b64": False},
        {"b64": True},
        {"enc": "A256GCM"},
        {"zip": "DEF"},
    ],
    ids=str,
)
async def test_header_parameter_that_changes_the_processing_is_rejected(
    verifier: TokenVerifier, issuer: Issuer, header: dict[str, Any]
) -> None:
    forged = token(issuer, header=header)

    assert await rejection(verifier, forged) == "header has a parameter that is not supported"


@pytest.mark.parametrize("key_id", [None, 1, "", ["first"], {}, "x" * 256, "a\nb", "\ud800"])
async def test_malformed_kid_is_rejected(
    verifier: TokenVerifier, issuer: Issuer, key_id: Any
) -> None:
    assert await rejection(verifier, token(issuer, header={"kid": key_id})) == "kid is not a key id"


async def test_key_embedded_in_the_header_is_ignored(
    verifier: TokenVerifier, issuer: Issuer
) -> None:
    other_issuer = Issuer()
    own_key = {
        "jwk": {"kty": "oct", "k": encode(b"0" * 32)},
        "jku": "http://127.0.0.1:1/jwks",
        "x5u": "http://127.0.0.1:1/x5u",
        "x5c": ["AAAA"],
    }

    assert await verifier.verify(token(issuer, header=own_key))
    forged = token(other_issuer, header=own_key)
    assert await rejection(verifier, forged) == "signature does not verify"


# --- The claims


@pytest.mark.parametrize(
    "value",
    [ABSENT, None, "", "9999999999", True, [], {}, inf, -inf, nan, -1, 1e300, 2**63, 10**400],
    ids=repr,
)
@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
async def test_time_claim_that_is_not_a_timestamp_is_rejected(
    verifier: TokenVerifier, issuer: Issuer, name: str, value: Any
) -> None:
    if name == "nbf" and value is ABSENT:
        assert await verifier.verify(token(issuer, nbf=ABSENT))
        return

    assert await rejection(verifier, token(issuer, **{name: value})) in (
        f"{name} is not a point in time",
        "segment is not JSON in UTF-8",
    )


async def test_exp_that_overflows_to_infinity_is_rejected(
    verifier: TokenVerifier, issuer: Issuer
) -> None:
    payload = json.dumps(claims(exp="?")).replace('"?"', "1e999").encode()
    forged = sign(issuer, issuer.header, payload)

    assert await rejection(verifier, forged) == "exp is not a point in time"


@pytest.mark.parametrize(
    ("name", "good", "bad", "reason"),
    [
        ("exp", 1 - LEEWAY, 0 - LEEWAY, "exp has passed"),
        ("iat", LEEWAY, 1 + LEEWAY, "iat is in the future"),
        ("nbf", LEEWAY, 1 + LEEWAY, "nbf is in the future"),
    ],
)
@pytest.mark.parametrize("number", [int, float])
async def test_times_are_compared_with_exactly_the_leeway(
    settings: Settings, issuer: Issuer, name: str, good: int, bad: int, reason: str, number: Any
) -> None:
    now = int(time.time())
    verifier = TokenVerifier(
        key_source(settings),
        issuer=BETTER_AUTH_URL,
        audience=AUDIENCE,
        leeway=LEEWAY,
        clock=lambda: now,
    )

    assert await verifier.verify(token(issuer, **{name: number(now + good)}))
    assert await rejection(verifier, token(issuer, **{name: number(now + bad)})) == reason


@pytest.mark.parametrize(
    "value",
    [
        ABSENT,
        None,
        "",
        BETTER_AUTH_URL + "/",
        BETTER_AUTH_URL.upper(),
        BETTER_AUTH_URL[:-1],
        BETTER_AUTH_URL + ".evil.example",
        [BETTER_AUTH_URL],
        {BETTER_AUTH_URL: 1},
    ],
    ids=repr,
)
async def test_other_issuers_are_rejected(
    verifier: TokenVerifier, issuer: Issuer, value: Any
) -> None:
    forged = token(issuer, iss=value)

    assert await rejection(verifier, forged) == "iss is not the configured issuer"


@pytest.mark.parametrize(
    "value",
    [
        ABSENT,
        None,
        "",
        "better-auth:session-cache",
        AUDIENCE + "/",
        AUDIENCE[:-1],
        [],
        ["other"],
        [AUDIENCE, 1],
        [[AUDIENCE]],
        {AUDIENCE: 1},
        1,
    ],
    ids=repr,
)
async def test_other_audiences_are_rejected(
    verifier: TokenVerifier, issuer: Issuer, value: Any
) -> None:
    assert await rejection(verifier, token(issuer, aud=value)) == "aud does not name this service"


@pytest.mark.parametrize(
    "value",
    [ABSENT, None, "", " ", " ann", "ann ", "a\x00b", "a\nb", "a\u2028b", "\ud800", "x" * 256, 1,
     True, ["ann"], {"id": "ann"}],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
async def test_malformed_sub_is_rejected(
    verifier: TokenVerifier, issuer: Issuer, value: Any
) -> None:
    forged = token(issuer, sub=value, id="ann", email="ann@example.com", user_id="ann")

    assert await rejection(verifier, forged) == "sub is not an identifier"


# --- Other tokens that Better Auth signs with the same key


async def test_session_cookie_is_rejected(verifier: TokenVerifier, issuer: Issuer) -> None:
    now = int(time.time())
    cookie = sign(
        issuer,
        issuer.header,
        {
            "session": {"token": "t", "userId": "ann"},
            "user": {"id": "ann", "email": "ann@example.com"},
            "updatedAt": now,
            "version": "1",
            "iat": now,
            "exp": now + 300,
        },
    )

    assert await rejection(verifier, cookie) == "iss is not the configured issuer"


async def test_session_cookie_with_the_claims_of_an_access_token_is_rejected(
    verifier: TokenVerifier, issuer: Issuer
) -> None:
    header = {"typ": "better-auth.session-cache+jwt"}
    by_type = token(issuer, header=header, aud=AUDIENCE)
    by_audience = token(issuer, aud="better-auth:session-cache")

    assert await rejection(verifier, by_type) == "typ is not that of an access token"
    assert await rejection(verifier, by_audience) == "aud does not name this service"


async def test_token_from_an_email_link_is_rejected(
    verifier: TokenVerifier, issuer: Issuer
) -> None:
    now = int(time.time())
    link = {"email": "ann@example.com", "userId": "ann", "iat": now, "exp": now + 3600}

    reason = await rejection(verifier, sign(issuer, issuer.header, link))

    assert reason == "iss is not the configured issuer"


# --- Random input


@pytest.mark.slow
@given(st.binary())
async def test_random_header_value_raises_unauthenticated(value: bytes) -> None:
    with pytest.raises(Unauthenticated):
        read_token(value.decode("latin-1"))  # as ASGI servers and Starlette decode headers


@pytest.mark.slow
@given(st.binary(), st.binary(), st.binary(min_size=1))
async def test_random_segments_raise_unauthenticated(
    header: bytes, payload: bytes, signature: bytes
) -> None:
    with pytest.raises(Unauthenticated):
        read_token(".".join(map(encode, (header, payload, signature))))


texts = st.text("a1 .é😀\x00\n\u2028\ud800")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda values: st.lists(values) | st.dictionaries(texts, values),
    max_leaves=5,
)
names = st.sampled_from(["alg", "kid", "typ", "exp", "iat", "nbf", "iss", "aud", "sub"])


@pytest.mark.slow
@given(header=st.dictionaries(names, json_values), payload=st.dictionaries(names, json_values))
async def test_random_header_and_claims_are_accepted_or_raise_unauthenticated(
    verifier: TokenVerifier, issuer: Issuer, header: dict[str, Any], payload: dict[str, Any]
) -> None:
    forged = sign(issuer, issuer.header | header, claims() | payload)

    with suppress(Unauthenticated):
        user = await verifier.verify(forged)
        assert user.id == (claims() | payload)["sub"]
