"""The OpenAPI document matches the service, for every operation, including future ones."""

import os
import re
import subprocess
import sys
from itertools import chain
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from fastapi.routing import APIRoute

from app.config import PROJECT
from app.openapi import HEADERS
from app.routers import ROUTERS, api_routes
from tests.conftest import SignIn
from tests.issuer import Issuer
from tests.resources import RESOURCES
from tests.resources.resource import Resource
from tests.sample_resource import PATH
from tests.tokens import token

OPEN = {
    ("get", "/health/live"),
    ("get", "/health/ready"),
    ("get", "/.well-known/oauth-protected-resource"),
}

# All roles that routes require, so that the user can call every route.
ROLES = ",".join(sorted({route.required_role for route in api_routes() if route.required_role}))


@pytest.fixture
def document(client: httpx2.Client) -> dict[str, Any]:
    document: dict[str, Any] = client.get("/openapi.json").json()
    return document


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def test_only_listed_operations_work_without_a_token(
    client: httpx2.Client, document: dict[str, Any]
) -> None:
    statuses = {
        (method, path): client.request(
            method, re.sub(r"{.*?}", str(uuid4()), path), content=b"{"
        ).status_code
        for method, path, _ in operations(document)
    }

    assert {operation for operation, status in statuses.items() if status != 401} == OPEN


def test_operations_that_need_a_token_document_the_bearer_scheme(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        assert ("security" in operation) == ((method, path) not in OPEN)


def test_operations_have_short_names_for_generated_clients(document: dict[str, Any]) -> None:
    names = {operation["operationId"] for _, _, operation in operations(document)}

    assert names >= {"delete_me", "live", "ready"}
    assert not [name for name in names if "api_v1" in name or len(name) > 40]


def test_errors_are_documented_as_problems(document: dict[str, Any]) -> None:
    update = document["paths"][PATH + "/{id}"]["patch"]["responses"]

    assert update.keys() == {
        *("200", "400", "401", "403", "404", "405", "409", "412", "413", "415", "422", "429", "503")
    }
    assert update["404"]["content"].keys() == {"application/problem+json"}


# --- Headers


def headers_sent(response: httpx2.Response) -> set[str]:
    """Return which of the documented headers a response has."""
    return {name for name in HEADERS if name in response.headers}


def headers_documented(operation: dict[str, Any], response: httpx2.Response) -> set[str]:
    return {*operation["responses"][str(response.status_code)]["headers"]}


def resolved(document: dict[str, Any], reference: dict[str, str]) -> Any:
    _, kind, name = reference["$ref"].removeprefix("#/").split("/")
    return document["components"][kind][name]


def test_document_declares_the_tags_of_its_operations(document: dict[str, Any]) -> None:
    used = {tag for _, _, operation in operations(document) for tag in operation["tags"]}

    assert {tag["name"] for tag in document["tags"]} == used


def test_error_responses_have_the_documented_headers(
    client: httpx2.Client, sign_in: SignIn, document: dict[str, Any]
) -> None:
    application, user, statuses = sign_in("ann", scope=""), sign_in("ann", role="admin"), set()
    twice = [("Authorization", user.headers["Authorization"])] * 2

    for method, path, operation in operations(document):
        url = re.sub("{.*?}", str(uuid4()), path)
        for response in (
            client.request(method, url),
            client.request(method, url, headers=twice),
            application.request(method, url),
            user.request(method, url, content=b"x", headers={"Content-Type": "text/plain"}),
            user.request(method, url, content=b"x" * 70_000),
        ):
            assert headers_sent(response) == headers_documented(operation, response)
            statuses.add(response.status_code)

    assert statuses >= {400, 401, 403, 413, 415}


@pytest.mark.parametrize("resource", RESOURCES, ids=str)
def test_responses_of_resources_have_the_documented_headers(
    ann: httpx2.Client, document: dict[str, Any], resource: Resource
) -> None:
    collection, item = (document["paths"][resource.path + end] for end in ("", "/{id}"))
    created = ann.post(resource.path, json=resource.body(ann))
    url, stale = resource.url(created.json()), {"If-Match": '"9"'}

    for response, operation, status in (
        (created, collection["post"], 201),
        (ann.get(resource.path), collection["get"], 200),
        (ann.get(url), item["get"], 200),
        (ann.patch(url, json={}), item["patch"], 200),
        (ann.patch(url, json={}, headers=stale), item["patch"], 412),
        (ann.patch(url, json=[]), item["patch"], 422),
        (ann.delete(url, headers=stale), item["delete"], 412),
        (ann.delete(url), item["delete"], 204),
        (ann.get(url), item["get"], 404),
    ):
        assert response.status_code == status
        assert headers_sent(response) == headers_documented(operation, response)


def test_405_documents_allow_and_429_and_503_document_retry_after(
    ann: httpx2.Client, document: dict[str, Any]
) -> None:
    assert headers_sent(ann.put(PATH)) == {"Allow", "X-Request-ID"}
    for method, _, operation in operations(document):
        retryable = ("409", "429", "503") if method == "post" else ("429", "503")
        for status, response in operation["responses"].items():
            assert ("Allow" in response["headers"]) == (status == "405")
            assert ("Retry-After" in response["headers"]) == (status in retryable)


def test_documented_headers_have_a_schema_and_a_description(
    document: dict[str, Any],
) -> None:
    for _, _, operation in operations(document):
        for response in operation["responses"].values():
            for reference in response["headers"].values():
                assert resolved(document, reference).keys() >= {"description", "schema"}


def test_headers_that_operations_honor_are_parameters(document: dict[str, Any]) -> None:
    for method, _, operation in operations(document):
        headers = [
            resolved(document, parameter)["name"]
            for parameter in operation.get("parameters", ())
            if "$ref" in parameter
        ]
        expected = ["Idempotency-Key"] if method == "post" else []
        expected += ["If-Match"] if "412" in operation["responses"] else []
        assert headers == expected


def test_handlers_that_honor_if_match_document_412() -> None:
    for route in chain.from_iterable(router.routes for router in ROUTERS):
        assert isinstance(route, APIRoute)
        honors = "if_match" in route.endpoint.__code__.co_names
        assert honors == (412 in route.responses), route.name


@pytest.mark.parametrize(
    ("value", "matches"),
    [
        ("*", True),
        ('"1"', True),
        ('"1", W/"2",\t"a,b"', True),
        ("", False),
        ("1", False),
        ('"1" "2"', False),
        ('*, "1"', False),
        ('"1",', False),
        ('"a"b"', False),
    ],
)
def test_if_match_pattern_accepts_entity_tags_only(
    document: dict[str, Any], value: str, matches: bool
) -> None:
    pattern = document["components"]["parameters"]["IfMatch"]["schema"]["pattern"]

    assert bool(re.search(pattern, value)) == matches


def test_document_does_not_change_between_requests(
    client: httpx2.Client, document: dict[str, Any]
) -> None:
    assert client.get("/openapi.json").json() == document


@pytest.mark.slow
@pytest.mark.parametrize("caller", ["with a token", "without a token"])
def test_schemathesis_finds_no_failures(service: str, issuer: Issuer, caller: str) -> None:
    privileged = token(issuer, role=ROLES)
    credentials = (
        ["--header", f"Authorization: Bearer {privileged}"] if caller == "with a token" else []
    )

    # Coverage is off here: the process runs no code of the service, and measuring made it hang.
    environment = {
        name: os.environ[name] for name in os.environ if not name.startswith("COVERAGE_")
    }

    found = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", "tests/schemathesis.toml"),
            *("run", f"{service}/openapi.json"),
            *("--checks", "all", "--max-examples", "15", "--no-color", *credentials),
        ],
        cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip

    assert found.returncode == 0, found.stdout
