"""A rendered project's frontend, without its pages."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from lab.e2e.project_factory import NPM_INSTALL, ProjectFactory
from lab.providers.servers import PASSWORD
from tests.rendering import RenderedProject, clean_environment

# Signs users up in one process, as the app does. Reads lines of emails, signs up those of a line
# concurrently, and prints one line with their different outcomes.
SIGNING_UP = """
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { loadSettings } from "./scripts/settings.mjs";
loadSettings("production");
const { betterAuth } = await import("better-auth");
const { auth: app } = await import("./lib/auth");
// Without the plugin that needs Next.
const plugins = app.options.plugins.filter(({ id }) => id !== "next-cookies");
const auth = betterAuth({ ...app.options, plugins });
const signUp = (email) => {
  const user = { email, name: "Ann", password: "correct horse" };
  const outcome = auth.api.signUpEmail({ body: user }).then(() => "signed up");
  const late = setTimeout(15_000, "no outcome in 15 s");
  return Promise.race([outcome.catch((error) => `failed: ${error.message}`), late]);
};
for await (const emails of createInterface({ input: process.stdin })) {
  const outcomes = new Set(await Promise.all(emails.split(" ").map(signUp)));
  console.log([...outcomes].join("; "));
}
process.exit();
"""


@dataclass(frozen=True)
class Frontend:
    path: Path

    def run(self, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.path,
            env=clean_environment() | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def script(self, name: str, text: str, argument: object, **environment: str) -> list[str]:
        """Run a script in the frontend's folder; its argument and its output are JSON."""
        (self.path / name).write_text(text)
        done = self.run("node_modules/.bin/jiti", name, json.dumps(argument), **environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def migrate(self, url: str = "", **environment: str) -> str:
        """Return the output of `npm run migrate`, or its one-line error, without a password."""
        given = {"DATABASE_URL": url} if url else {}
        done = self.run("node_modules/.bin/jiti", "scripts/migrate.ts", **given, **environment)
        if done.returncode == 0:
            assert not done.stderr
            return done.stdout.strip().removeprefix("Better Auth's tables: ")
        assert not done.stdout
        for secret in (PASSWORD, quote(PASSWORD, safe="")):
            assert secret not in done.stderr
        [line] = done.stderr.splitlines()
        return line.removeprefix("Cannot start: ")

    @contextmanager
    def serving(self, url: str, **environment: str) -> Iterator[Callable[[str], str]]:
        """Yield `sign_up(emails)` for one running process.

        It returns "signed up", the error, or the different outcomes of several.
        """
        (self.path / "signing-up.ts").write_text(SIGNING_UP)
        process = subprocess.Popen(
            ["node_modules/.bin/jiti", "signing-up.ts"],
            cwd=self.path,
            env=clean_environment() | environment | {"DATABASE_URL": url},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )

        def sign_up(email: str) -> str:
            process.stdin.write(f"{email}\n")
            return process.stdout.readline().strip()

        with process:
            yield sign_up
            process.stdin.close()


def installed(factory: ProjectFactory, **answers: str) -> Frontend:
    """Install a frontend without the packages for its pages, most of 500 MB."""
    folder = factory.render(**answers).path / "frontend"
    package = json.loads((folder / "package.json").read_text())
    for name in ("next", "react", "react-dom", "openapi-fetch"):
        del package["dependencies"][name]
    del package["devDependencies"]
    (folder / "package.json").write_text(json.dumps(package))
    RenderedProject(folder).run(NPM_INSTALL)
    return Frontend(folder)


def parallel(call: Callable[[str], str], arguments: list[str]) -> list[str]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(call, arguments))
