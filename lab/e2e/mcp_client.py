"""An MCP client that knows only the URL of the server, and calls its tools.

It runs with the Python of a rendered project, because it needs the SDK. It prints the URL that its
user has to open, then the result of each call. A call is a tool's name with its arguments.
"""

import asyncio
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl, urlsplit

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)
from pydantic import AnyUrl


class Memory:
    """Stores the registration and the tokens while the program runs."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Redirected(BaseHTTPRequestHandler):
    """Receives the authorization response, in a redirect of the user's browser."""

    response: dict[str, str]

    def do_GET(self) -> None:
        Redirected.response = dict(parse_qsl(urlsplit(self.path).query))
        self.send_response(200)
        self.end_headers()


async def main(url: str, calls: list[tuple[str, dict[str, str]]]) -> None:
    with HTTPServer(("127.0.0.1", 0), Redirected) as browser:
        redirect_uri = AnyUrl(f"http://127.0.0.1:{browser.server_port}/")

        async def open_browser(address: str) -> None:
            print(address, flush=True)

        async def wait_for_browser() -> AuthorizationCodeResult:
            await asyncio.to_thread(browser.handle_request)
            return AuthorizationCodeResult.model_validate(Redirected.response)

        auth = OAuthClientProvider(
            url,
            OAuthClientMetadata(client_name="Assistant", redirect_uris=[redirect_uri]),
            Memory(),
            open_browser,
            wait_for_browser,
        )
        async with (
            httpx2.AsyncClient(auth=auth, timeout=60, trust_env=False) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            for tool, arguments in calls:
                result = await client.call_tool(tool, arguments)
                texts = [block.text for block in result.content if block.type == "text"]
                print(json.dumps(result.structured_content or texts), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
