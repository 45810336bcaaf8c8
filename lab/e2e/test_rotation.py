"""Better Auth rotates its signing key while clients send requests."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Literal

import pytest

from lab.e2e.stack import COMBINATIONS, Stack
from lab.e2e.users import TASKS, parts
from tests.rendering import RenderedProject

PATIENCE = 30  # seconds

pytestmark = pytest.mark.parametrize(
    "stack", COMBINATIONS[:1], indirect=True, ids="-".join, scope="session"
)

# With Better Auth's adapter, since its tables depend on the database.
SCRIPT = """
process.loadEnvFile(".env.local");
const { auth } = await import("./lib/auth");

const { adapter } = await auth.$context;
const sortBy = { field: "createdAt", direction: "desc" };
const [key] = await adapter.findMany({ model: "jwks", sortBy });
const where = [{ field: "id", value: key.id }];
if (process.argv[2] === "expire") {
  await adapter.update({ model: "jwks", where, update: { expiresAt: new Date() } });
} else {
  await adapter.delete({ model: "jwks", where });
}
process.exit();
"""


def let_go_of_the_key(stack: Stack, how: Literal["expire", "delete"]) -> None:
    script = stack.frontend / "key.ts"
    script.write_text(SCRIPT)
    RenderedProject(stack.frontend).run(f"npx --no jiti {script.name} {how}")
    script.unlink()


def key_id(token: str) -> str:
    header, _ = parts(token)
    return header["kid"]


def test_key_rotation_fails_no_request(stack: Stack) -> None:
    ann = stack.sign_up("Ann")
    old = ann.token()
    rotated = Event()

    def keep_calling() -> list[int]:
        """Return the statuses of requests with new tokens, until one is signed with the new key."""
        statuses: list[int] = []
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            # Better Auth allows an IP address a hundred requests in ten seconds.
            ann.site.headers["X-Forwarded-For"] = f"10.1.0.{len(statuses) // 50}"
            token = ann.token()
            statuses.append(ann.call("GET", TASKS, token=token).status_code)
            if rotated.is_set() and key_id(token) != key_id(old):
                return statuses
        pytest.fail("no token by a new key")

    with ThreadPoolExecutor() as pool:
        open_client = pool.submit(keep_calling)
        let_go_of_the_key(stack, "expire")
        rotated.set()
        statuses = open_client.result()

    assert set(statuses) == {200}
    assert ann.call("GET", TASKS, token=old).status_code == 200


def test_tokens_of_a_deleted_key_are_rejected_after_the_next_key_is_fetched(stack: Stack) -> None:
    ann = stack.sign_up("Ann")
    old = ann.token()
    before = ann.call("GET", TASKS, token=old)
    let_go_of_the_key(stack, "delete")

    by_the_next_key = ann.call("GET", TASKS)
    after = ann.call("GET", TASKS, token=old)

    assert before.status_code == by_the_next_key.status_code == 200
    assert after.status_code == 401
