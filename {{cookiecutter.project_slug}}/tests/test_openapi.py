"""The OpenAPI document: what it promises holds, for every operation there is or will be."""

import os
import re
import subprocess
import sys
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from app.config import PROJECT
from tests.issuer import Issuer
from tests.sample_resource import PATH
from tests.tokens import token

OPEN = {
    ("get", "/health/live"),
    ("get", "/health/ready"),
    ("get", "/.well-known/oauth-protected-resource"),
}


@pytest.fixture
def document(client: httpx2.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def test_everything_is_closed_but_what_is_on_the_open_list(
    client: httpx2.Client, document: dict[str, Any]
) -> None:
    answers = {
        (method, path): client.request(
            method, re.sub(r"{.*?}", str(uuid4()), path), content=b"{"
        ).status_code
        for method, path, _ in operations(document)
    }

    assert {call for call, status in answers.items() if status != 401} == OPEN


def test_what_is_closed_says_so(document: dict[str, Any]) -> None:
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


@pytest.mark.slow
@pytest.mark.parametrize("who", ["signed in", "a stranger"])
def test_no_generated_request_finds_a_fault(service: str, issuer: Issuer, who: str) -> None:
    # With the role, generated requests reach the endpoints for administrators, too.
    administrator = token(issuer, role="admin")
    known = ["--header", f"Authorization: Bearer {administrator}"] if who == "signed in" else []

    # Nothing of ours runs in that process, and counting lines in it has made it hang.
    uncounted = {name: os.environ[name] for name in os.environ if not name.startswith("COVERAGE_")}

    found = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{service}/openapi.json"),
            *("--checks", "all", "--max-examples", "15", "--no-color", *known),
        ],
        cwd=PROJECT, env=uncounted, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip

    assert found.returncode == 0, found.stdout
