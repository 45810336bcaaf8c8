"""An MCP client acts for a user, as docs/mcp.md says."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from lab.e2e.stack import Stack
from lab.e2e.users import User

CLIENT = Path(__file__).with_name("mcp_client.py")
CALLS = [["add_task", {"title": "By the assistant"}], ["list_tasks", {}]]


def call_tools(stack: Stack, user: User, scope: str) -> list[Any]:
    """Return the results of CALLS by a new client that the user allows `scope`."""
    with stack.program(CLIENT, f"{stack.api_url}/api/v1/mcp", json.dumps(CALLS)) as client:
        allow(user, client.stdout.readline().strip(), scope)
        printed, errors = client.communicate(timeout=60)
    assert client.returncode == 0, errors
    return [json.loads(line) for line in printed.splitlines()]


def allow(user: User, address: str, scope: str) -> None:
    """Open the address at Better Auth, allow `scope`, and return to the client."""
    page = urlsplit(user.site.get(address, follow_redirects=False).headers["Location"])
    assert page.path == "/consent"
    consent = user.auth("/oauth2/consent", accept=True, scope=scope, oauth_query=page.query)
    httpx2.get(consent.json()["url"], trust_env=False).raise_for_status()


def test_client_that_knows_only_the_url_adds_and_lists_its_users_tasks(
    authorization: Stack,
) -> None:
    ann, bob = authorization.sign_up("Ann"), authorization.sign_up("Bob")
    bob.add("Bob's")

    added, listed = call_tools(authorization, ann, "tasks:read tasks:write")

    assert added["title"] == "By the assistant"
    assert listed["items"] == [added]
    assert ann.titles() == ["By the assistant"]
    assert bob.titles() == ["Bob's"]


def test_client_with_tasks_read_gets_an_error_when_it_adds_a_task(authorization: Stack) -> None:
    ann = authorization.sign_up("Ann")
    ann.add("Ann's")

    [error], listed = call_tools(authorization, ann, "tasks:read")

    assert "403: The token's scope does not cover this request." in error
    assert [task["title"] for task in listed["items"]] == ["Ann's"]
    assert ann.titles() == ["Ann's"]
