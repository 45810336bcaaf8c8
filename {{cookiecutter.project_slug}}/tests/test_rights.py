"""The rights of users' own tokens, and of tokens issued to applications."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from fastapi import WebSocket
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from app.config import Settings
from app.main import create_app
from app.routers import ROUTERS, scopes
from app.routers.api import PREFIX, AuthenticatedRoute, api_router
from tests.conftest import NO_TLS, SignIn, serve
from tests.issuer import Issuer
from tests.sample_resource import BODY, PATH, READ, WRITE, create
from tests.test_http import is_problem, raw
from tests.test_openapi import OPEN, ROLES, operations
from tests.tokens import ABSENT, AUDIENCE, BETTER_AUTH_URL, token

METADATA = "/.well-known/oauth-protected-resource"
CHECKED_ELSEWHERE: list[str] = []
"""Routes that `api_router` did not make, but that check the rights of a token themselves."""

Send = Callable[..., httpx2.Response]


@pytest.fixture
def send(client: httpx2.Client, issuer: Issuer) -> Send:
    """`send("GET", path, scope="x")` sends a request with a token that has these claims."""

    def request(method: str, path: str, **claims: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token(issuer, **claims)}"}
        return client.request(method, path, headers=headers)

    return request


@pytest.fixture
def closed(client: httpx2.Client) -> list[tuple[str, str, list[str]]]:
    """Each operation that requires a token, with the scopes that it documents."""
    document = client.get("/openapi.json").json()
    return [
        (method, re.sub(r"{.*?}", str(uuid4()), path), operation["security"][0]["HTTPBearer"])
        for method, path, operation in operations(document)
        if (method, path) not in OPEN
    ]


def insufficient(response: httpx2.Response, scope: str | None) -> bool:
    """Return whether it is the 403 that asks for `scope` (RFC 6750, section 3.1)."""
    challenge = response.headers["WWW-Authenticate"]
    return (
        is_problem(response, 403)
        and challenge.startswith('Bearer realm="api", error="insufficient_scope"')
        and (f'scope="{scope}"' in challenge if scope else "scope=" not in challenge)
    )


# --- Each operation


def test_each_operation_documents_the_scope_of_its_path_and_method(
    client: httpx2.Client,
) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for router in ROUTERS:
        name = re.sub(r"/{.*?}", "", router.prefix.removeprefix(PREFIX)).strip("/")
        for route in router.routes:
            assert isinstance(route, AuthenticatedRoute)
            [method] = {*(route.methods or ())} - {"HEAD"}
            scope = f"{name.replace('/', ':')}:{'read' if method == 'GET' else 'write'}"
            documented = paths[route.path][method.lower()]["security"]
            assert documented == [{"HTTPBearer": [scope] if route.resource else []}], route.path


def test_applications_cannot_erase_all_data(send: Send) -> None:
    assert insufficient(send("DELETE", "/api/v1/me", scope="me:write me"), None)


def test_every_route_under_the_prefix_checks_rights(settings: Settings) -> None:
    others = [
        context.path
        for context in iter_route_contexts(create_app(settings).routes)
        if str(context.path).startswith(PREFIX)
        and not isinstance(context.original_route, AuthenticatedRoute)
    ]

    assert others == CHECKED_ELSEWHERE


def test_users_own_token_is_accepted_by_each_operation(
    send: Send, closed: list[tuple[str, str, list[str]]]
) -> None:
    for method, path, _ in closed:
        assert send(method, path, role=ROLES).status_code not in (401, 403), (method, path)


def test_application_with_the_scope_is_accepted_by_each_operation(
    send: Send, closed: list[tuple[str, str, list[str]]]
) -> None:
    for method, path, [*needed] in closed:
        if needed:
            response = send(method, path, client_id="app", scope=needed[0], role=ROLES)
            assert response.status_code not in (401, 403), (method, path)


def test_application_with_all_other_scopes_gets_403_from_each_operation(
    send: Send, closed: list[tuple[str, str, list[str]]]
) -> None:
    for method, path, needed in closed:
        others = " ".join(sorted((scopes() | {"me:write", "openid"}) - {*needed}))
        response = send(method, path, client_id="app", scope=others, role=ROLES)
        assert insufficient(response, next(iter(needed), None)), (method, path)


@pytest.mark.parametrize(
    "claims",
    [{"client_id": "ann"}, {"azp": "ann"}, {"cnf": {"jkt": "x"}}, {"scope": None}],
    ids=["client", "authorized party", "bound to a key", "malformed"],
)
def test_client_bound_and_malformed_tokens_get_401_from_each_operation(
    send: Send, closed: list[tuple[str, str, list[str]]], claims: dict[str, Any]
) -> None:
    everything = {"scope": " ".join(scopes()), "role": ROLES}
    for method, path, _ in closed:
        response = send(method, path, sub="ann", **(everything | claims))
        assert is_problem(response, 401), (method, path)


# --- Claims


@pytest.mark.parametrize("claim", ["scope", "client_id", "azp"])
@pytest.mark.parametrize("value", [None, True, 0, 1.5, [], [READ], {}, {"tasks": "read"}])
def test_application_claim_that_is_not_text_gets_401(send: Send, claim: str, value: object) -> None:
    assert is_problem(send("GET", PATH, **{"scope": READ, claim: value}), 401)


@pytest.mark.parametrize("value", [None, {}, {"jkt": "x"}, "", 0, False, []])
def test_token_that_is_bound_to_a_key_gets_401(send: Send, value: object) -> None:
    assert is_problem(send("GET", PATH, cnf=value), 401)
    assert is_problem(send("GET", PATH, cnf=value, scope=READ), 401)


@pytest.mark.parametrize("claim", ["client_id", "azp"])
@pytest.mark.parametrize("value", ["", "app", "Ann", "ann ", "x" * 3000])
def test_applications_token_allows_only_what_its_scope_names(
    send: Send, claim: str, value: str
) -> None:
    assert send("GET", PATH, **{"scope": READ, claim: value}).status_code == 200
    assert insufficient(send("POST", PATH, **{"scope": READ, claim: value}), WRITE)


@pytest.mark.parametrize("claim", ["scope", "client_id", "azp"])
def test_scope_client_id_or_azp_alone_restricts_the_token(send: Send, claim: str) -> None:
    assert insufficient(send("GET", PATH, **{claim: "x"}), READ)


@pytest.mark.parametrize(
    "scope",
    [READ, f"{WRITE} {READ}", f"openid {READ} profile", f"{READ} {READ}", "! " + READ + " ~"],
)
def test_required_scope_may_be_one_of_several(send: Send, scope: str) -> None:
    assert send("GET", PATH, scope=scope).status_code == 200


RESOURCE = READ.partition(":")[0]
LOOK_RIGHT = [
    ABSENT, "", " ", RESOURCE, f"{RESOURCE}:*", f"{RESOURCE}:", ":read", "read", "*", READ.upper(),
    READ.title(), f"{READ}s", f"x{READ}", WRITE, f"{RESOURCE}.read", f"{RESOURCE}:read:all",
    f" {READ}", f"{READ} ", f"{READ}  {WRITE}", f"{READ}\t{WRITE}", f"{READ}\n", f"\t{READ}",
    f"{READ},{WRITE}", f"{READ};{WRITE}", f"{READ}+{WRITE}", f'"{READ}"', f"{READ}\\", f"{READ}\0",
    f'{READ} "', f"{READ} \\", f"{READ} \u00e9", f"{READ}\u00a0{WRITE}", f"{READ} \x7f",
    READ.replace("a", "\u0430"),
    f'["{READ}"]', "x " * 2000 + READ + "  x",
]  # fmt: skip


@pytest.mark.parametrize("scope", LOOK_RIGHT, ids=ascii)
def test_scope_that_only_resembles_the_required_one_gets_403(send: Send, scope: object) -> None:
    assert insufficient(send("GET", PATH, client_id="app", scope=scope), READ)


def test_application_reaches_only_its_users_rows(ann: httpx2.Client, send: Send) -> None:
    create(ann)

    assert len(send("GET", PATH, sub="ann", scope=READ).json()["items"]) == 1
    assert send("GET", PATH, sub="bob", scope=READ).json()["items"] == []


# --- Rights are checked first


def test_403_for_insufficient_scope_precedes_all_checks_of_the_request(
    sign_in: SignIn, ann: httpx2.Client
) -> None:
    application = sign_in("ann", client_id="app", scope=READ)
    json = {"Content-Type": "application/json"}
    bodies: list[dict[str, Any]] = [
        {"content": b"{", "headers": json},
        {"content": b"x", "headers": {"Content-Type": "text/plain"}},
        {"content": b'"' + b"x" * 70_000 + b'"', "headers": json},
        {"content": iter([b"x" * 70_000]), "headers": json},
        {"json": BODY},
        {},
    ]

    responses = [application.post(PATH, **body) for body in bodies]

    assert [insufficient(response, WRITE) for response in responses] == [True] * len(bodies)
    assert ann.get(PATH).json()["items"] == []


def test_403_for_insufficient_scope_does_not_wait_for_the_body(
    service: str, issuer: Issuer
) -> None:
    response = raw(
        service,
        f"POST {PATH} HTTP/1.1",
        f"Authorization: Bearer {token(issuer, scope=READ)}",
        "Content-Type: application/json",
        "Content-Length: 20",
    )

    assert response.startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_insufficient_scope_hides_whether_a_row_exists(
    ann: httpx2.Client, bob: httpx2.Client, sign_in: SignIn, method: str
) -> None:
    application = sign_in("ann", client_id="app", scope="other")
    own, foreign = create(ann)["id"], create(bob)["id"]

    responses = [
        application.request(method, f"{PATH}/{each}", headers={"X-Request-ID": "same"})
        for each in (own, foreign, uuid4(), "x")
    ]

    assert len({(response.status_code, response.text) for response in responses}) == 1
    assert insufficient(responses[0], READ if method == "GET" else WRITE)
    assert ann.get(f"{PATH}/{own}").status_code == 200


# --- Routers


@pytest.fixture
def unusual(settings: Settings, issuer: Issuer) -> Iterator[Callable[..., int]]:
    """`unusual("GET", "/a/b", scope="x")` returns the status of a request to an unusual route."""
    app = create_app(settings)
    for path, role in (("/a/b", None), ("/c/{id}/d", "editor")):
        router = api_router(path, role=role)
        router.api_route("", methods=["GET", "HEAD"])(lambda: None)
        router.put("")(lambda: None)
        app.include_router(router)

    def status(method: str, path: str, **claims: Any) -> int:
        headers = {"Authorization": f"Bearer {token(issuer, **claims)}"}
        url = f"{base_url}/api/v1{path}"
        return httpx2.request(method, url, headers=headers, verify=NO_TLS).status_code

    with serve(app) as base_url:
        yield status


def test_scope_follows_from_path_and_method_of_any_route(unusual: Callable[..., int]) -> None:
    for method, allowed, other in (
        ("GET", "a:b:read", "a:b:write"),
        ("HEAD", "a:b:read", "a:b:write"),
        ("PUT", "a:b:write", "a:b:read"),
    ):
        assert unusual(method, "/a/b", scope=allowed) == 200
        assert unusual(method, "/a/b", scope=other) == 403
        assert unusual(method, "/a/b") == 200


def test_route_with_a_role_needs_the_scope_too(unusual: Callable[..., int]) -> None:
    assert unusual("GET", "/c/1/d", role="editor", scope="c:d:read") == 200
    assert unusual("GET", "/c/1/d", role="user", scope="c:d:read") == 403
    assert unusual("GET", "/c/1/d", role="editor", scope="c:d:write") == 403


def test_unsupported_method_gets_405_whatever_the_scope(unusual: Callable[..., int]) -> None:
    assert unusual("DELETE", "/a/b", scope="") == 405


@pytest.mark.parametrize(
    "path",
    ["", "/", "a", "/a/", "//a", "/a b", '/a"', "/\u4f8b", "/{id}", "/a.{x}", "/a/{id", "/a?"],
)
def test_path_without_valid_scope_raises_value_error(path: str) -> None:
    with pytest.raises(ValueError, match="not a path such as"):
        api_router(path)


@pytest.mark.parametrize("methods", [[], ["GET", "POST"], ["GET", "HEAD", "PUT"]])
def test_route_without_exactly_one_method_raises_value_error(methods: list[str]) -> None:
    with pytest.raises(ValueError, match="one route for each method"):
        api_router("/a").api_route("", methods=methods)(lambda: None)


def test_websocket_under_the_prefix_is_closed(settings: Settings) -> None:
    app = create_app(settings)

    @app.websocket(f"{PREFIX}/live")
    async def live(websocket: WebSocket) -> None:
        await websocket.accept()

    with (
        pytest.raises(WebSocketDisconnect),
        TestClient(app).websocket_connect(f"{PREFIX}/live"),
    ):
        pass


# --- Metadata (RFC 9728)


def test_metadata_names_issuer_and_scopes(client: httpx2.Client) -> None:
    response = client.get(METADATA)

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    metadata = response.json()
    assert {READ, WRITE} <= {*metadata["scopes_supported"]}
    assert metadata == {
        "resource": AUDIENCE,
        "authorization_servers": [BETTER_AUTH_URL],
        "scopes_supported": sorted(scopes()),
        "bearer_methods_supported": ["header"],
    }


@pytest.mark.parametrize(
    ("audience", "path", "url"),
    [
        ("http://localhost:8000", "", "http://localhost:8000"),
        ("https://api.example.com/", "", "https://api.example.com"),
        ("https://example.com/tasks", "/tasks", "https://example.com"),
        ("https://example.com/a/c/", "/a/c/", "https://example.com"),
        ("HTTPS://Example.com:443/A", "/A", "https://example.com"),
        ("http://[::1]:8000/x", "/x", "http://[::1]:8000"),
        # Not a URL that can be a resource: the challenge has the URL of the request instead.
        ("task-service", "", None),
        ("urn:tasks", "", None),
        ("https://example.com/?a=b", "", None),
        ("https://example.com/#a", "", None),
        ("https://example.com?a=b", "", None),
        ('https://example.com/"', "", None),
        ("https://example.com/%7Bid%7D", "", None),
        ("https://ann@example.com/", "", None),
        ("https://[example/", "", None),
        ("https://:8000/x", "", None),
        ("https://\u4f8b.com/\u4f8b", "", None),
        ("ftp://example.com", "", None),
    ],
)
def test_each_challenge_has_the_url_of_the_metadata(
    settings: Settings, issuer: Issuer, audience: str, path: str, url: str | None
) -> None:
    with serve(create_app(settings.model_copy(update={"jwt_audience": audience}))) as base_url:
        given = token(issuer, aud=audience, scope="")
        responses = [
            httpx2.get(f"{base_url}{PATH}", headers=headers, verify=NO_TLS)
            for headers in (
                [],
                [("Authorization", "Bearer x")],
                [("Authorization", "Bearer x")] * 2,
                [("Authorization", f"Bearer {given}")],
            )
        ]
        metadata = httpx2.get(f"{base_url}{METADATA}{path}", verify=NO_TLS)

    assert [response.status_code for response in responses] == [401, 401, 400, 403]
    for response in responses:
        [challenge] = response.headers.get_list("WWW-Authenticate")
        assert challenge.endswith(f', resource_metadata="{url or base_url}{METADATA}{path}"')
    assert metadata.json()["resource"] == audience


def test_forged_host_header_cannot_add_parameters_to_a_challenge(settings: Settings) -> None:
    with serve(create_app(settings.model_copy(update={"jwt_audience": "tasks"}))) as base_url:
        response = httpx2.get(
            f"{base_url}{PATH}", headers={"Host": 'evil", error="x'}, verify=NO_TLS
        )

    assert response.headers["WWW-Authenticate"].count('"') == 4
