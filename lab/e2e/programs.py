"""Programs that use a user's account, with an API key or their own session."""

from typing import Any

import httpx2

from lab.e2e.stack import Stack
from lab.e2e.users import User

CLIENT = {"client_id": "task-cli"}
GRANT = CLIENT | {"grant_type": "urn:ietf:params:oauth:grant-type:device_code"}


class Program:
    """Sends requests to Better Auth without cookies. `headers` has its key or session, if any."""

    def __init__(self, site_url: str, headers: dict[str, str] | None = None) -> None:
        self._auth = f"{site_url}/api/auth"
        self._headers = headers or {}

    def send(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        return httpx2.request(
            method,
            self._auth + path,
            json=body,
            headers=self._headers,
            timeout=60,
            trust_env=False,
        )

    def fetch_token(self) -> httpx2.Response:
        return self.send("GET", "/token")

    def token(self) -> str:
        return self.fetch_token().raise_for_status().json()["token"]

    def ask(self) -> dict[str, Any]:
        return self.send("POST", "/device/code", CLIENT).raise_for_status().json()

    def poll(self, flow: dict[str, Any]) -> httpx2.Response:
        return self.send("POST", "/device/token", GRANT | {"device_code": flow["device_code"]})


def with_key(stack: Stack, key: str) -> Program:
    return Program(stack.site_url, {"x-api-key": key})


def with_session(stack: Stack, session: str) -> Program:
    return Program(stack.site_url, {"Authorization": f"Bearer {session}"})


def connect(stack: Stack, user: User) -> Program:
    """Return a program that the user has allowed to use their account."""
    program = Program(stack.site_url)
    flow = program.ask()
    user.decide(flow["user_code"], "approve")
    return with_session(stack, program.poll(flow).raise_for_status().json()["access_token"])
