"""What holds for every request: authentication, valid bodies, and response headers."""

import codecs
import json
import re
import socket
from collections.abc import Iterator
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, Request, Response, WebSocket
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from starlette.routing import Route, Router

from app.config import Settings
from app.dependencies import current_user
from app.errors import Unauthenticated
from app.main import create_app
from app.routers import ROUTERS, api_routes
from app.routers.api import api_router
from tests.conftest import NO_TLS, serve
from tests.database import UNREACHABLE_URL
from tests.issuer import Issuer
from tests.sample_resource import BODY, PATH, TEXT, Model, create
from tests.tokens import token

ORIGIN = "http://localhost:3000"
NOT_A_TOKEN = {"Authorization": "Bearer x"}


def is_problem(response: httpx2.Response, status: int) -> bool:
    """Return whether the response is an RFC 9457 problem with this status and its request id."""
    problem = response.json()
    return (
        response.status_code == problem["status"] == status
        and response.headers["Content-Type"] == "application/problem+json"
        and problem["type"] == "about:blank"
        and bool(problem["title"] and problem["detail"])
        and problem["request_id"] == response.headers["X-Request-ID"]
    )


def challenge(response: httpx2.Response) -> str:
    """Return the only value of WWW-Authenticate."""
    [value] = response.headers.get_list("WWW-Authenticate")
    return value


def raw(service: str, *lines: str, body: bytes = b"") -> bytes:
    """Return the response to a request that no client library would send."""
    url = httpx2.URL(service)
    head = "\r\n".join([*lines, f"Host: {url.netloc.decode()}", "Connection: close", "", ""])
    with socket.create_connection((url.host, url.port or 80), timeout=5) as connection:
        connection.sendall(head.encode("latin-1") + body)
        response = b""
        while chunk := connection.recv(65536):
            response += chunk
    return response


# --- Authentication


def test_missing_credentials_return_a_challenge_without_error(client: httpx2.Client) -> None:
    response = client.get(PATH)

    assert is_problem(response, 401)
    assert re.fullmatch('Bearer realm="api", resource_metadata=".*"', challenge(response))


@pytest.mark.parametrize("value", ["Basic YTpi", "Token x", "x", "bearerx", "Negotiate"])
def test_other_authentication_schemes_count_as_missing_credentials(
    client: httpx2.Client, value: str
) -> None:
    response = client.get(PATH, headers={"Authorization": value})

    assert is_problem(response, 401)
    assert re.fullmatch('Bearer realm="api", resource_metadata=".*"', challenge(response))


@pytest.mark.parametrize("value", ["Bearer x", "bearer x", "BEARER  x", "Bearer", "Bearer a b"])
def test_rejected_token_returns_401_with_invalid_token(client: httpx2.Client, value: str) -> None:
    response = client.get(PATH, headers={"Authorization": value})

    assert is_problem(response, 401)
    assert challenge(response).startswith(
        'Bearer realm="api", error="invalid_token", error_description="'
    )


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_bearer_scheme_is_case_insensitive(
    client: httpx2.Client, issuer: Issuer, scheme: str
) -> None:
    response = client.get(PATH, headers={"Authorization": f"{scheme} {token(issuer)}"})

    assert response.status_code == 200


def test_all_rejected_tokens_get_the_same_response(client: httpx2.Client, issuer: Issuer) -> None:
    bad = [token(issuer, exp=1), token(issuer, aud="x"), token(issuer, sub=""), "x", "x.y.z"]

    responses = {
        (response.status_code, response.json()["detail"], response.headers["WWW-Authenticate"])
        for response in (
            client.get(PATH, headers={"Authorization": f"Bearer {each}"}) for each in bad
        )
    }

    assert len(responses) == 1


def test_two_authorization_headers_return_400(service: str, issuer: Issuer) -> None:
    line = f"Authorization: Bearer {token(issuer)}"

    response = raw(service, f"GET {PATH} HTTP/1.1", line, line)

    assert response.startswith(b"HTTP/1.1 400 ")
    assert b'www-authenticate: Bearer realm="api", error="invalid_request"' in response


@pytest.mark.parametrize("headers", [{}, NOT_A_TOKEN], ids=["no token", "invalid token"])
@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b'{"title": NaN}', b"x" * 100_000, b"{}"], ids=lambda body: body[:15]
)
def test_missing_or_invalid_token_returns_401_before_the_body_is_read(
    client: httpx2.Client, headers: dict[str, str], body: bytes
) -> None:
    for content_type in ("application/json", "text/plain"):
        response = client.post(PATH, content=body, headers=headers | {"Content-Type": content_type})
        assert is_problem(response, 401)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1",
        "/api/v1/",
        "/api/v1/nothing",
        "/api/v1/me/",
        "/api/v1/../v1/me",
        "/api/v1/me/../../../health/live",
        "/api/v1/%6de",
        "/api%2Fv1/me",
        "/api/v1//me",
    ],
)
def test_every_path_under_the_prefix_requires_a_token(service: str, path: str) -> None:
    assert raw(service, f"GET {path} HTTP/1.1").startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    "path", ["//api/v1/me", "/API/V1/me", "/x/../api/v1/me", "/api/v1x/me", "/api"]
)
def test_path_that_only_resembles_the_prefix_returns_404(service: str, path: str) -> None:
    assert raw(service, f"GET {path} HTTP/1.1").startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_health_endpoints_need_no_token(client: httpx2.Client, path: str) -> None:
    response = client.get(path, headers=NOT_A_TOKEN)

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(("path", "status"), [("/health/live", 200), ("/nowhere", 404)])
def test_head_returns_the_same_as_get_without_the_body(
    client: httpx2.Client, path: str, status: int
) -> None:
    head, get = client.head(path), client.get(path)

    assert head.status_code == get.status_code == status
    assert head.content == b""
    for changing in ("x-request-id", "date"):
        del head.headers[changing], get.headers[changing]
    if status == 200:
        assert head.headers == get.headers


def test_readiness_check_accepts_head(client: httpx2.Client) -> None:
    assert client.head("/health/ready").status_code == 200
    assert client.put("/health/ready").headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("method", ["PUT", "TRACE", "HEAD", "OPTIONS", "BREW"])
def test_unsupported_method_returns_405_with_allow(ann: httpx2.Client, method: str) -> None:
    collection = ann.request(method, PATH)
    item = ann.request(method, f"{PATH}/{create(ann)['id']}")

    assert collection.status_code == item.status_code == 405
    assert collection.headers["Allow"] == "GET, POST"
    assert item.headers["Allow"] == "DELETE, GET, PATCH"


async def respond_empty(request: Request) -> Response:  # noqa: ARG001 - as Starlette calls it
    return Response()


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize("root_path", ["", "/root"])
def test_allow_lists_the_methods_of_included_and_mounted_routes(
    settings: Settings, root_path: str
) -> None:
    router = APIRouter(prefix="/items")
    router.get("/{key}")(lambda key: key)
    router.post("/{name}")(lambda name: name)
    app = create_app(settings.model_copy(update={"root_path": root_path}))
    app.include_router(router, prefix="/other")
    app.mount("/mounted", Router([Route("/health/live", respond_empty, methods=["POST"])]))

    with serve(app) as base_url, httpx2.Client(base_url=base_url) as client:
        included = client.put("/other/items/1")
        mounted = client.put("/mounted/health/live")

    assert included.status_code == mounted.status_code == 405
    assert included.headers["Allow"] == "GET, POST"
    assert mounted.headers["Allow"] == "POST"


# --- Bodies


def test_body_over_the_limit_returns_413(ann: httpx2.Client) -> None:
    body = json.dumps(BODY | {TEXT: "x" * 64 * 1024}).encode()
    headers = {"Content-Type": "application/json"}

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    assert is_problem(ann.post(PATH, content=body, headers=headers), 413)
    assert is_problem(ann.post(PATH, content=chunks(), headers=headers), 413)
    assert ann.get(PATH).json()["items"] == []


@pytest.mark.parametrize(("method", "path"), [("POST", PATH), ("DELETE", f"{PATH}/x")])
def test_content_length_over_the_limit_returns_413_without_waiting_for_the_body(
    service: str, issuer: Issuer, method: str, path: str
) -> None:
    response = raw(
        service,
        f"{method} {path} HTTP/1.1",
        f"Authorization: Bearer {token(issuer)}",
        "Content-Type: application/json",
        "Content-Length: 10000000000",
    )

    assert response.startswith(b"HTTP/1.1 413 ")


def test_body_at_the_limit_is_accepted(ann: httpx2.Client) -> None:
    body = json.dumps(BODY).encode().ljust(64 * 1024)

    response = ann.post(PATH, content=body, headers={"Content-Type": "application/json"})

    assert response.status_code == 201


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "",
     "application/jsonx", "text/json", "application/xml"],
)  # fmt: skip
def test_content_type_other_than_json_returns_415(ann: httpx2.Client, content_type: str) -> None:
    response = ann.post(PATH, content=json.dumps(BODY), headers={"Content-Type": content_type})

    assert is_problem(response, 415)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON",
     "application/merge-patch+json"],
)  # fmt: skip
def test_each_json_content_type_is_accepted(ann: httpx2.Client, content_type: str) -> None:
    response = ann.post(PATH, content=json.dumps(BODY), headers={"Content-Type": content_type})

    assert response.status_code == 201


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        (b"application/json", json.dumps(BODY).encode(), 201),
        (b"application/json", json.dumps(BODY).encode("utf-16"), 400),
        (b"application/json", b" " * 70_000, 413),
        (b"text/plain", json.dumps(BODY).encode(), 415),
        (b"text/plain", b"", 422),
    ],
)
@pytest.mark.usefixtures("service")
async def test_body_without_length_headers_is_checked(
    settings: Settings, issuer: Issuer, content_type: bytes, body: bytes, status: int
) -> None:
    """HTTP/2 requires neither `Content-Length` nor `Transfer-Encoding`."""
    app = create_app(settings)
    chunks = [body[start : start + 9_000] for start in range(0, len(body) or 1, 9_000)]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "2", "method": "POST",
        "scheme": "https", "path": PATH, "raw_path": PATH.encode(), "query_string": b"",
        "headers": [
            (b"authorization", f"Bearer {token(issuer)}".encode()),
            (b"content-type", content_type),
        ],
        "client": None, "server": None, "state": {},
    }  # fmt: skip
    await app(scope, receive, send)
    await app.state.database.close()

    assert sent[0]["status"] == status


def test_handler_that_has_read_the_body_sees_a_connected_client(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, issuer: Issuer
) -> None:
    router = api_router("/connected")

    @router.post("")
    async def connected(body: dict[str, str], request: Request) -> bool:
        return body == {} and not await request.is_disconnected()

    monkeypatch.setattr("app.routers.ROUTERS", [router])
    headers = {"Authorization": f"Bearer {token(issuer)}"}
    with serve(create_app(settings)) as base_url:
        url = f"{base_url}/api/v1/connected"
        response = httpx2.post(url, json={}, headers=headers, verify=NO_TLS)

    assert response.json() is True


def test_body_over_the_limit_returns_413_outside_the_prefix(settings: Settings) -> None:
    app = create_app(settings)

    @app.post("/webhook")
    async def webhook(body: Annotated[dict[str, str], Body()]) -> int:
        return len(body["text"])

    client = TestClient(app)

    assert client.post("/webhook", json={"text": "x" * 60_000}).json() == 60_000
    assert client.post("/webhook", json={"text": "x" * 70_000}).status_code == 413


def test_two_content_type_headers_return_415(service: str, issuer: Issuer) -> None:
    response = raw(
        service,
        f"POST {PATH} HTTP/1.1",
        f"Authorization: Bearer {token(issuer)}",
        "Content-Type: application/json",
        "Content-Type: text/plain",
        "Content-Length: 14",
        body=json.dumps(BODY).encode(),
    )

    assert response.startswith(b"HTTP/1.1 415 ")


@pytest.mark.parametrize("body", [b"\xff", b"\xff\xfe{", b"[" * 60_000, b"1" * 5_000])
def test_unparsable_body_returns_400(ann: httpx2.Client, body: bytes) -> None:
    response = ann.post(PATH, content=body, headers={"Content-Type": "application/json"})

    assert is_problem(response, 400)


def in_chunks(body: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 1000])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8], ids=["without BOM", "with BOM"])
def test_utf8_body_in_chunks_is_accepted(ann: httpx2.Client, mark: bytes, size: int) -> None:
    text = "aé€😀"
    body = mark + json.dumps(BODY | {TEXT: text}, ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json"}

    whole = ann.post(PATH, content=body, headers=headers)
    chunked = ann.post(PATH, content=in_chunks(body, size), headers=headers)

    assert whole.status_code == chunked.status_code == 201
    assert whole.json()[TEXT] == chunked.json()[TEXT] == text


JSON_TEXT = json.dumps(BODY | {TEXT: "é€😀"}, ensure_ascii=False)
NOT_UTF8 = {
    encoding: JSON_TEXT.encode(encoding)
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
} | {
    "big-endian UTF-16 with BOM": codecs.BOM_UTF16_BE + JSON_TEXT.encode("utf-16-be"),
    "big-endian UTF-32 with BOM": codecs.BOM_UTF32_BE + JSON_TEXT.encode("utf-32-be"),
    "UTF-16 BOM alone": codecs.BOM_UTF16_LE,
    "UTF-32 BOM alone": codecs.BOM_UTF32_BE,
    "UTF-16 brace alone": "{".encode("utf-16-be"),
    "UTF-16 in ASCII": json.dumps(BODY).encode("utf-16-le"),
    "UTF-16 that begins with a space": f" {JSON_TEXT}".encode("utf-16-be"),
    "UTF-16 cut within a code unit": json.dumps(BODY).encode("utf-16-le")[:-1],
    "UTF-32 cut within a code unit": json.dumps(BODY).encode("utf-32-be")[:-2],
    "Latin-1": json.dumps(BODY | {TEXT: "é"}, ensure_ascii=False).encode("latin-1"),
    "lone surrogate": json.dumps(BODY | {TEXT: "\ud800"}, ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    ),
    "CESU-8": json.dumps(BODY | {TEXT: "\ud83d\ude00"}, ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    ),
    "overlong": b'{"title": "\xc0\xaf"}',
    "beyond Unicode": b'{"title": "\xf4\x90\x80\x80"}',
    "incomplete at the end": b'{"title": "x"}\xe2\x82',
}


@pytest.mark.parametrize("size", [None, 1, 2, 3, 1000])
@pytest.mark.parametrize("body", NOT_UTF8.values(), ids=NOT_UTF8.keys())
def test_body_that_is_not_utf8_returns_400(
    ann: httpx2.Client, body: bytes, size: int | None
) -> None:
    content = in_chunks(body, size) if size else body

    response = ann.post(PATH, content=content, headers={"Content-Type": "application/json"})

    assert is_problem(response, 400)
    assert response.json()["detail"] == "The body is not UTF-8."
    assert ann.get(PATH).json()["items"] == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"title": "x"',
        b'{"title": NaN}',
        b'{"title": "a\0b"}',
        b'{"title": Infinity}',
        b'{"title": 1e999}',
        b'{"title": 123456789012345678901234567890}',
        b'{"title": "\\ud800"}',
        b'{"title": "x", "\\ud800": 1}',
        b'{"title": "x", "unknown": NaN}',
        b'{"title": {"a": [1e999]}}',
    ],
)
def test_invalid_body_returns_422(ann: httpx2.Client, body: bytes) -> None:
    response = ann.post(PATH, content=body, headers={"Content-Type": "application/json"})

    assert is_problem(response, 422)


def test_422_names_the_field_and_does_not_echo_the_input(
    ann: httpx2.Client,
) -> None:
    response = ann.post(PATH, json=BODY | {TEXT: ["MARKER"], "MARKER": "x"})

    assert is_problem(response, 422)
    assert "MAR" not in response.text
    assert response.json()["errors"] == [
        {"loc": ["body", TEXT], "msg": "Input should be a valid string", "type": "string_type"},
        {"loc": ["body"], "msg": "Extra inputs are not permitted", "type": "extra_forbidden"},
    ]


@pytest.mark.parametrize("row_id", ["x", "MARKER", "%00", "%ff", "%ed%a0%80", "0", "null", "..%2f"])
def test_malformed_id_returns_404_or_422_without_echoing_it(
    ann: httpx2.Client, row_id: str
) -> None:
    response = ann.get(f"{PATH}/{row_id}")

    assert response.status_code in (404, 422)
    assert is_problem(response, response.status_code)
    for error in response.json().get("errors", []):
        assert (
            error["msg"] == "Input should be a valid UUID"
        )  # without naming the invalid character


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("a \x00\n\ud800😀"),
    lambda values: st.lists(values) | st.dictionaries(st.text("a\ud800"), values),
    max_leaves=5,
)
fields = st.sampled_from(Model.__table__.columns.keys())


@pytest.mark.slow
@given(body=st.dictionaries(fields, json_values) | json_values)
def test_arbitrary_body_returns_201_or_422(eve: httpx2.Client, body: Any) -> None:
    content = json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}

    response = eve.post(PATH, content=content, headers=headers)

    assert response.status_code in (201, 422)


@pytest.mark.slow
@given(cursor=st.binary(max_size=50))
def test_any_cursor_returns_200_or_422(eve: httpx2.Client, cursor: bytes) -> None:
    response = eve.get(PATH, params={"cursor": cursor.decode("latin-1")})

    assert response.status_code in (200, 422)


@pytest.fixture(scope="session")
def eve(running_service: str, issuer: Issuer) -> Iterator[httpx2.Client]:
    """One client for all examples, because Hypothesis does not reset function-scoped fixtures."""
    headers = {"Authorization": f"Bearer {token(issuer, sub='eve')}"}
    with httpx2.Client(base_url=running_service, headers=headers, verify=NO_TLS) as client:
        yield client


# --- Response headers


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", PATH), ("GET", "/health/live"), ("GET", "/nowhere"), ("PUT", "/health/live")],
)
@pytest.mark.parametrize("caller", ["client", "ann"])
def test_every_response_has_the_security_headers(
    request: pytest.FixtureRequest, caller: str, method: str, path: str
) -> None:
    response = request.getfixturevalue(caller).request(method, path)

    headers = response.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Request-ID"]
    assert "Server" not in headers


def test_valid_request_id_is_kept(client: httpx2.Client) -> None:
    response = client.get(PATH, headers={"X-Request-ID": "trace-1_2.3"})

    assert response.headers["X-Request-ID"] == response.json()["request_id"] == "trace-1_2.3"


@pytest.mark.parametrize("request_id", ["", "a b", 'a"b', "é", "x" * 129, "<script>", "{}", "a,b"])
def test_invalid_request_id_is_replaced(client: httpx2.Client, request_id: str) -> None:
    response = client.get(PATH, headers=[(b"X-Request-ID", request_id.encode("latin-1"))])

    assert len(response.headers["X-Request-ID"]) == 36
    assert is_problem(response, 401)


def test_two_request_ids_are_replaced(client: httpx2.Client) -> None:
    response = client.get(PATH, headers=[("X-Request-ID", "a"), ("X-Request-ID", "b")])

    assert len(response.headers["X-Request-ID"]) == 36


def test_frontend_origin_gets_cors_headers_on_every_response(
    client: httpx2.Client, ann: httpx2.Client
) -> None:
    for response in (
        ann.get(PATH, headers={"Origin": ORIGIN}),
        client.get(PATH, headers={"Origin": ORIGIN}),
        ann.post(PATH, json={}, headers={"Origin": ORIGIN}),
        ann.get("/nowhere", headers={"Origin": ORIGIN}),
    ):
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "Access-Control-Allow-Credentials" not in response.headers
        exposed = set(response.headers["Access-Control-Expose-Headers"].split(", "))
        assert exposed == {"ETag", "Location", "Retry-After", "WWW-Authenticate", "X-Request-ID"}


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_preflight_allows_each_method_and_header_of_the_api(
    client: httpx2.Client, method: str
) -> None:
    response = client.options(
        PATH,
        headers={
            "Origin": ORIGIN,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization,content-type,if-match,x-request-id",
        },
    )

    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Access-Control-Allow-Credentials" not in response.headers
    assert response.headers["X-Request-ID"]


@pytest.mark.parametrize(
    "header", ["idempotency-key", "traceparent", "tracestate", "baggage", "sentry-trace"]
)
def test_preflight_allows_idempotency_and_tracing_headers(
    client: httpx2.Client, header: str
) -> None:
    response = client.options(
        PATH,
        headers={
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": f"authorization,{header}",
        },
    )

    assert response.status_code == 200
    assert header in response.headers["Access-Control-Allow-Headers"].lower().split(", ")


@pytest.mark.parametrize("origin", ["http://evil.example", ORIGIN + ".evil.example", "null", "*"])
def test_other_origins_get_no_cors_headers(client: httpx2.Client, origin: str) -> None:
    response = client.get(PATH, headers={"Origin": origin})

    assert "Access-Control-Allow-Origin" not in response.headers


# --- Failures and routes outside the API


def test_unreachable_database_returns_503_and_the_service_stays_alive(
    settings: Settings, issuer: Issuer
) -> None:
    away = settings.model_copy(update={"database_url": SecretStr(UNREACHABLE_URL)})
    headers = {"Authorization": f"Bearer {token(issuer)}", "Origin": ORIGIN}

    with (
        serve(create_app(away)) as base_url,
        httpx2.Client(base_url=base_url, headers=headers, verify=NO_TLS) as ann,
    ):
        for response in (
            ann.get(PATH),
            ann.post(PATH, json=BODY),
            ann.delete("/api/v1/me"),
            ann.get("/health/ready"),
        ):
            assert is_problem(response, 503)
            assert int(response.headers["Retry-After"]) >= 1
            assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
            assert "SELECT" not in response.text
        assert ann.head("/health/ready").status_code == 503
        assert ann.get("/health/live").status_code == 200


def test_unexpected_exception_returns_500_without_details(settings: Settings) -> None:
    app = create_app(settings)

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("MARKER")

    with serve(app) as base_url:
        response = httpx2.get(f"{base_url}/broken", headers={"Origin": ORIGIN}, verify=NO_TLS)

    assert is_problem(response, 500)
    assert "MARKER" not in response.text
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN


def test_websocket_exception_propagates_to_the_server(settings: Settings) -> None:
    app = create_app(settings)

    @app.websocket("/socket")
    async def fail(_: WebSocket) -> None:
        raise RuntimeError("MARKER")

    with (
        pytest.raises(RuntimeError, match="MARKER"),
        TestClient(app).websocket_connect("/socket"),
    ):
        """Connect."""


def test_unsupported_method_on_the_documentation_returns_405(client: httpx2.Client) -> None:
    response = client.post("/docs")

    assert is_problem(response, 405)
    assert "GET" in response.headers["Allow"]


def test_exception_while_streaming_aborts_the_response(settings: Settings) -> None:
    app = create_app(settings)

    @app.get("/half")
    async def half() -> StreamingResponse:
        def chunks() -> Iterator[bytes]:
            yield b"half"
            raise RuntimeError

        return StreamingResponse(chunks())

    with serve(app) as base_url, pytest.raises(httpx2.RemoteProtocolError):
        httpx2.get(f"{base_url}/half", verify=NO_TLS)


def test_api_routes_require_a_user_even_without_the_middleware(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The middleware rejects such requests first, so this second check needs an app without it.
    router = api_router("/unprotected")
    router.get("")(lambda: None)
    monkeypatch.setattr("app.routers.ROUTERS", [router])
    without_middleware = FastAPI(routes=[*api_routes()])

    with pytest.raises(Unauthenticated):
        TestClient(without_middleware).get("/api/v1/unprotected")


def test_endpoint_for_a_role_returns_403_before_reading_the_body(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, issuer: Issuer
) -> None:
    admins = api_router("/admins", role="admin")

    @admins.post("")
    async def post(body: dict[str, int]) -> dict[str, int]:
        return body

    monkeypatch.setattr("app.routers.ROUTERS", [*ROUTERS, admins])
    client = TestClient(create_app(settings))

    def respond(body: bytes, **claims: Any) -> httpx2.Response:
        authorization = {"Authorization": f"Bearer {token(issuer, **claims)}"}
        headers = {"Content-Type": "application/json", **authorization}
        return client.post("/api/v1/admins", content=body, headers=headers)

    assert respond(b'{"a": 1}', role="admin").json() == {"a": 1}
    assert respond(b"{", role="admin").status_code == 422
    for body in (b'{"a": 1}', b"{"):
        assert is_problem(respond(body, role="user"), 403)
        assert is_problem(respond(body), 403)
    [operation] = client.get("/openapi.json").json()["paths"]["/api/v1/admins"].values()
    assert operation["responses"]["403"]["content"].keys() == {"application/problem+json"}


def test_app_does_not_start_if_a_router_lacks_authentication(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    router = APIRouter(prefix="/unprotected")
    router.get("")(lambda: None)
    monkeypatch.setattr("app.routers.ROUTERS", [router])

    with pytest.raises(TypeError, match="api_router"):
        create_app(settings)


@pytest.mark.parametrize("root_path", ["", "/ap", "/api", "/api/v1", "/x"])
def test_missing_token_returns_401_behind_any_root_path(
    settings: Settings, issuer: Issuer, root_path: str
) -> None:
    client = TestClient(create_app(settings), root_path=root_path)
    signed = {"Authorization": f"Bearer {token(issuer)}"}
    paths = ["/api/v1/me", f"{root_path}/api/v1/me", "/v1/me", "/me"]

    reached = [path for path in paths if client.put(path, headers=signed).status_code == 405]

    assert reached
    # Not 415: authentication precedes the check of the content type.
    assert {client.post(path, content="x").status_code for path in reached} == {401}


def test_route_outside_the_prefix_that_requires_a_user_returns_401(
    settings: Settings, issuer: Issuer
) -> None:
    app = create_app(settings)

    @app.get("/outside", dependencies=[Depends(current_user)])
    async def outside() -> None:
        """Return nothing."""

    headers = {"Authorization": f"Bearer {token(issuer)}"}
    with serve(app) as base_url:
        response = httpx2.get(f"{base_url}/outside", headers=headers, verify=NO_TLS)

    assert is_problem(response, 401)
