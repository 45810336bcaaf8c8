"""Behind a proxy that strips ROOT_PATH, links include the prefix, and tokens are still required."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from uuid import uuid4

import httpx2
import pytest
from fastapi.testclient import TestClient

from app.config import Settings
from app.main import create_app
from tests.conftest import NO_TLS, serve
from tests.issuer import Issuer
from tests.sample_resource import BODY, PATH
from tests.test_http import is_problem, raw
from tests.test_openapi import OPEN
from tests.tokens import token

# Most of these are also prefixes of the API's own paths.
PREFIXES = ["/x", "/a/b.c", "/a", "/api", "/api/v1", PATH, "/health", "/docs"]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("service")]

Served = Callable[[str], httpx2.Client]


@pytest.fixture
def behind(settings: Settings, issuer: Issuer) -> Iterator[Served]:
    """`behind(prefix)` returns Ann's client of a service whose proxy strips this prefix."""
    headers = {"Authorization": f"Bearer {token(issuer, sub='ann')}"}
    with ExitStack() as stack:

        def client(prefix: str) -> httpx2.Client:
            app = create_app(settings.model_copy(update={"root_path": prefix}))
            url = stack.enter_context(serve(app))
            client = httpx2.Client(base_url=url, headers=headers, verify=NO_TLS)
            return stack.enter_context(client)

        yield client


@pytest.mark.parametrize("prefix", PREFIXES)
def test_links_include_the_stripped_prefix(behind: Served, prefix: str) -> None:
    ann = behind(prefix)

    created = ann.post(PATH, json=BODY)
    docs = ann.get("/docs").text
    document = ann.get("/openapi.json").json()

    assert created.status_code == 201
    location = created.headers["Location"]
    assert location == f"{prefix}{PATH}/{created.json()['id']}"
    assert ann.get(location.removeprefix(prefix)).json() == created.json()
    assert f"'{prefix}/openapi.json'" in docs
    assert f"'{prefix}/docs/oauth2-redirect'" in docs
    assert document["servers"] == [{"url": prefix}]
    assert PATH in document["paths"]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_operations_require_a_token_behind_every_prefix(behind: Served, prefix: str) -> None:
    ann = behind(prefix)
    document = ann.get("/openapi.json").json()
    del ann.headers["Authorization"]
    operations = [
        (method, path, re.sub(r"{.*?}", str(uuid4()), path))
        for path, item in document["paths"].items()
        for method in item
    ]

    rejected = {
        (method, path)
        for method, path, address in operations
        if ann.request(method, address, content=b"{").status_code == 401
    }
    # As if the proxy had not stripped the prefix, or had stripped it twice.
    elsewhere = {
        ann.request(method, address).status_code
        for method, _, path in operations
        for address in (prefix + path, path.removeprefix(prefix) or "/")
        if address != path
    }

    assert {(method, path) for method, path, _ in operations} - rejected == OPEN
    assert elsewhere <= {401, 404}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_errors_are_the_same_behind_a_prefix(behind: Served, prefix: str) -> None:
    ann = behind(prefix)

    assert ann.put(PATH).headers["Allow"] == "GET, POST"
    assert ann.put("/health/live").headers["Allow"] == "GET, HEAD"
    assert is_problem(ann.get("/nowhere"), 404)
    assert is_problem(ann.get("/api/v1"), 404)
    for target in ("*", "pi/v1/tasks", "ealth/live", "http://a/health/live"):
        assert raw(str(ann.base_url), f"OPTIONS {target} HTTP/1.1").startswith(b"HTTP/1.1 404 ")


def test_root_path_set_by_the_server_replaces_the_setting(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"root_path": "/x"}))
    client = TestClient(app, root_path="/api")

    assert client.get("/api/openapi.json").json()["servers"] == [{"url": "/api"}]
    assert client.get("/api/health/live").status_code == 200
    assert client.get("/api/api/v1/me").status_code == 401
