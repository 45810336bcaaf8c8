"""Users with accounts at Better Auth, who send requests to the service with its tokens."""

from itertools import count
from types import TracebackType
from typing import Any, Literal, Self

import httpx2
import jwt

TASKS, ME = "/api/v1/tasks", "/api/v1/me"
PASSWORD = "correct horse"

_numbers = count(1)


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of a token without verifying it."""
    read = jwt.decode_complete(token, options={"verify_signature": False})
    return read["header"], read["payload"]


class User:
    """`site` is the frontend, with the user's session; `call` sends requests to the service."""

    def __init__(self, name: str, site_url: str, api_url: str) -> None:
        number = next(_numbers)
        self.name = name
        self.email = f"{name.lower()}{number}@example.com"
        # Better Auth counts attempts to sign in by address.
        self.address = f"10.0.{number // 250}.{number % 250 + 1}"
        headers = {"Origin": site_url, "X-Forwarded-For": self.address}
        # In development, Next compiles a page on its first request.
        self.site = httpx2.Client(
            base_url=site_url, headers=headers, timeout=60, trust_env=False, follow_redirects=True
        )
        self._api = httpx2.Client(base_url=api_url, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.site.close()
        self._api.close()

    def auth(self, path: str, **body: Any) -> httpx2.Response:
        return self.site.post(f"/api/auth{path}", json=body).raise_for_status()

    def sign_up(self) -> Self:
        self.auth("/sign-up/email", name=self.name, email=self.email, password=PASSWORD)
        return self

    def sign_in(self) -> httpx2.Response:
        """Try to start another session; the current one stays."""
        body = {"email": self.email, "password": PASSWORD}
        return httpx2.post(
            self.site.base_url.join("/api/auth/sign-in/email"),
            json=body,
            headers=self.site.headers,
            trust_env=False,
        )

    def session(self) -> dict[str, Any]:
        """Return the current session from the database."""
        response = self.site.get("/api/auth/get-session", params={"disableCookieCache": True})
        return response.raise_for_status().json()["session"]

    @property
    def id(self) -> str:
        return self.session()["userId"]

    def token(self) -> str:
        return self.site.get("/api/auth/token").raise_for_status().json()["token"]

    def create_key(self, **options: Any) -> dict[str, Any]:
        """Create an API key. `key` is the secret that programs send, and `id` identifies it."""
        return self.auth("/api-key/create", name="Nightly report", **options).json()

    def decide(self, user_code: str, decision: Literal["approve", "deny"]) -> None:
        """Look up a program's request, as the page does, and approve or deny it."""
        self.site.get("/api/auth/device", params={"user_code": user_code}).raise_for_status()
        self.auth(f"/device/{decision}", userCode=user_code)

    def call(
        self, method: str, path: str, *, token: str | None = None, **options: Any
    ) -> httpx2.Response:
        """Send one request, with a new token unless one is given."""
        headers = {"Authorization": f"Bearer {token or self.token()}"}
        return self._api.request(method, path, headers=headers, **options)

    def add(self, title: str, **fields: Any) -> dict[str, Any]:
        body = {"title": title, **fields}
        return self.call("POST", TASKS, json=body).raise_for_status().json()

    def tasks(self, *, token: str | None = None) -> list[dict[str, Any]]:
        return self.call("GET", TASKS, token=token).raise_for_status().json()["items"]

    def titles(self, *, token: str | None = None) -> list[str]:
        return [task["title"] for task in self.tasks(token=token)]
