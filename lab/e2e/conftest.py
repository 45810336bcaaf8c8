"""End to end: rendered projects, served, with the real Better Auth and in a real browser."""

import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from playwright.sync_api import Browser, sync_playwright

from lab.e2e.browser_user import CHROMIUM_FLAGS
from lab.e2e.project_factory import ProjectFactory
from lab.e2e.stack import COMBINATIONS, Stack, replace, running
from lab.pages import follow
from lab.scaling.machines import which
from tests.rendering import RenderedProject, cannot_run

NODE = (20, 19)
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@cache
def missing() -> str:
    """Return what this machine lacks for these tests, in one line, or ""."""
    lacks = []
    node = shutil.which("node") and subprocess.check_output(["node", "--version"], text=True)
    if not node or not shutil.which("npm"):
        lacks.append("Node.js and npm are missing")
    elif tuple(map(int, re.findall(r"\d+", node)[:2])) < NODE:
        lacks.append(f"Node.js {node.strip()} is older than {'.'.join(map(str, NODE))}")
    if not any(map(shutil.which, CHROMIUM)):
        lacks.append("Chromium is missing (apt-get install chromium)")
    if not which("nginx"):
        lacks.append("nginx is missing (apt-get install nginx)")
    return ", ".join(lacks)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if missing():
        terminalreporter.line(f"The end-to-end tests did not run: {missing()}.")


@pytest.fixture(scope="session", autouse=True)
def _tools() -> None:
    if missing():
        cannot_run(missing())


@pytest.fixture(scope="session")
def chromium() -> str:
    return next(filter(None, map(shutil.which, CHROMIUM)))


@pytest.fixture(scope="session")
def factory(_tools: None) -> Iterator[ProjectFactory]:
    # So that SIGTERM, too, stops the servers that it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Not pytest's own folders: it keeps those of three runs, and these are large.
    with TemporaryDirectory(prefix="e2e-") as root:
        yield ProjectFactory(Path(root))


@pytest.fixture(scope="module")
def chromium_flags() -> tuple[str, ...]:
    """Flags of Chromium. A module can override them."""
    return CHROMIUM_FLAGS


@pytest.fixture(scope="module")
def browser(chromium: str, chromium_flags: tuple[str, ...]) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=chromium_flags)


@pytest.fixture(scope="session")
def axe(factory: ProjectFactory) -> str:
    return factory.axe()


@pytest.fixture(scope="session", params=COMBINATIONS, ids="-".join)
def stack(request: pytest.FixtureRequest, factory: ProjectFactory) -> Iterator[Stack]:
    """Pytest groups the tests by stack, because each takes a while to start.

    It compares positions: a test of a few of the combinations must name the first ones.
    """
    database, token_verification, way = request.param
    production = way == "production"
    with running(
        factory,
        database,
        token_verification,
        production=production,
        prefixed=request.param == COMBINATIONS[1],
    ) as stack:
        yield stack


# Settings from Better Auth's documentation, and a file that shows the emails that it sends.
CONFIGURATION = """betterAuth({
  session: { cookieCache: { enabled: true, strategy: "jwt" } },
"""
EMAILS = """
    sendVerificationEmail: async ({ token }) => {
      const { appendFile } = await import("node:fs/promises");
      await appendFile("sent", `${token}\\n`);
    },
"""
IDS = {"shared-secret": "uuid", "jwks": "serial"}
WHOLE_USER = """definePayload: ({ user }) => {
      if (user.banned) throw new APIError("FORBIDDEN", { code: "BANNED_USER" });
      return user.name === "Whole" ? user : {};
    }"""
# With these plugins, not only users themselves can remove their accounts.
PLUGINS = """admin(),
    anonymous(),
    tokens,
"""
IMPORTS = """import { admin } from "better-auth/plugins/admin";
import { anonymous } from "better-auth/plugins/anonymous";
import { database }"""
ALL_GRANTS = 'grantTypes: ["client_credentials", "authorization_code"'


def set_up_authorization(project: RenderedProject, mode: str) -> None:
    """Follow docs/authorization.md and docs/mcp.md, and enable what they advise against."""
    project.run('make resource NAME=note FIELDS="title:str"')
    follow(project, "authorization.md")
    follow(project, "mcp.md")
    lib = project.path / "frontend" / "lib"
    replace(
        lib / "auth.ts",
        ("betterAuth({\n", CONFIGURATION),
        ("  advanced: {\n", f'  advanced: {{\n    database: {{ generateId: "{IDS[mode]}" }},\n'),
        (" sendVerificationEmail }", EMAILS + "  }"),
        ("  sendVerificationEmail,\n", ""),
        ("import { database }", IMPORTS),
        ("tokens,\n", PLUGINS),
    )
    replace(lib / "provider.ts", ('grantTypes: ["authorization_code"', ALL_GRANTS))
    replace(
        lib / f"tokens-{mode}.ts",
        ("definePayload: () => ({})", WHOLE_USER),
        ("import { jwt }", 'import { APIError } from "better-auth/api";\nimport { jwt }'),
    )
    if mode == "jwks":
        replace(lib / "tokens-jwks.ts", ("jwt({\n", "jwt({\n  sessionCookieCache: true,\n"))
        replace(
            lib / "scopes.ts",
            ("  offline_access", '  openid: "Know who you are",\n  offline_access'),
        )


@pytest.fixture(scope="session", params=IDS)
def mode(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def authorization(mode: str, factory: ProjectFactory) -> Iterator[Stack]:
    """A project to which docs/authorization.md and docs/mcp.md were applied."""
    change = partial(set_up_authorization, mode=mode)
    with running(factory, "sqlite", mode, change=change) as stack:
        yield stack
