"""Finish a rendered project: drop what it does not use, write its settings, say what is next.

The secret never passes through Cookiecutter, which keeps answers in its replay file and rendered
hooks in the temporary folder, nor through cruft, which has the answers committed.
"""

import os
import sys

# Python imports modules from the hook's own folder first. That is the temporary folder, where
# another user may have left a `json.py`.
if os.path.dirname(__file__) in sys.path:
    sys.path.remove(os.path.dirname(__file__))

import contextlib
import getpass
import itertools
import json
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

# What a project with this answer to the question has no use for.
UNUSED = {
    "database": {
        "sqlite": [
            "deploy/kubernetes/horizontalpodautoscaler.yaml",
            "deploy/kubernetes/migration.yaml",
            "deploy/kubernetes/poddisruptionbudget.yaml",
            "docs/decisions/frontend/node-postgres-and-libpq-urls.md",
            "docs/decisions/postgresql",
            "frontend/lib/database-postgresql.ts",
            "frontend/lib/postgresql",
            "frontend/tests/unit/database-url.test.ts",
            "scripts/postgres.py",
            "tests/test_distribution.py",
            "tests/test_pooling.py",
        ],
        "postgresql": [
            "deploy/kubernetes/persistentvolumeclaim.yaml",
            "frontend/lib/database-sqlite.ts",
        ],
    },
    "token_verification": {
        "shared-secret": ["frontend/lib/tokens-jwks.ts", "tests/better_auth_keys.json"],
        "jwks": ["frontend/lib/tokens-shared-secret.ts", "scripts/sign_token.py"],
    },
    "frontend": {"none": [".github/workflows/frontend.yml", "docs/decisions/frontend", "frontend"]},
}

SERVICE_ENV = Path(".env")
FRONTEND_ENV = Path("frontend/.env.local")
SECRET = "BETTER_AUTH_SECRET"
FRONTEND_URL = "http://localhost:3000"
API_URL = "http://localhost:8000"
INCOMPLETE = "This project is incomplete"
# The first is Better Auth's own default. The service refuses these too.
PLACEHOLDER = r"(?i)better.auth.secret|change.?(me|this)|replace.?(me|this)|your.?secret"
# A byte order mark may come first. Decoded as Latin-1, it is three characters.
LINE_START = r"(?m)(?:^|(?<=\A\xef\xbb\xbf))[ \t]*(?:export[ \t]+)?"
# Ports for development databases: below the ephemeral range, which begins at 32768 on Linux, and
# without the default ports of Fluentd, RabbitMQ, CockroachDB, Redis Sentinel and MongoDB.
PORTS = sorted(set(range(20_000, 30_000)) - {24224, 25672, 26257, 26379, 27017, 27018, 27019})

Answers = dict[str, str]


def drop_unused(answers: Answers) -> None:
    """Remove what the answers leave unused, and the folders that are empty then."""
    unused = [name for asked, files in UNUSED.items() for name in files.get(answers[asked], [])]
    for path in map(Path, unused):
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.removedirs(path.parent)


def settings(answers: Answers, secret: str, database_url: str) -> dict[Path, dict[str, str]]:
    """Return the settings of each file. Both share issuer, audience, secret and PostgreSQL URL."""
    auth = {"BETTER_AUTH_URL": FRONTEND_URL, "JWT_AUDIENCE": API_URL}
    service = auth | {"CORS_ORIGINS": FRONTEND_URL, "DATABASE_URL": database_url}
    frontend = auth | {"NEXT_PUBLIC_API_URL": API_URL, SECRET: secret}
    if answers["token_verification"] == "shared-secret":
        service[SECRET] = secret
    if answers["database"] == "postgresql":
        frontend["DATABASE_URL"] = database_url
    files = {SERVICE_ENV: service, FRONTEND_ENV: frontend}
    return files if answers["frontend"] == "nextjs" else {SERVICE_ENV: service}


def checked(secret: str) -> str:
    """The secret, if it is fit to be one; a refusal names the rule and never the secret."""
    rules = {
        "at least 32 characters": len(secret) >= 32,
        "more than two different characters": len(set(secret)) > 2,
        "not a placeholder": not re.search(PLACEHOLDER, secret),
        "printable ASCII only": secret.isascii() and secret.isprintable(),
        "no blank, quote, backtick, #, $ or backslash": not set(secret) & set(" '\"`#$\\"),
    }
    for rule, holds in rules.items():
        if not holds:
            sys.exit(f"{SECRET} refused: {rule} (openssl rand -base64 32 prints a good one)")
    return secret


def is_thrown_away(answers: Answers) -> bool:
    """Whether this is one of the two that `cruft update` renders, only to compare them."""
    return (
        "_commit" in answers and Path.cwd().parent.parent == Path(tempfile.gettempdir()).resolve()
    )


def new_secret(answers: Answers) -> str:
    """A secret from where the answers say; empty where none was given and nobody can be asked."""
    if answers["better_auth_secret"] == "generate":
        return secrets.token_urlsafe(48)
    if is_thrown_away(answers):
        return ""
    if given := os.environ.get(SECRET):
        return checked(given)
    if not sys.stdin.isatty():
        return ""
    try:
        return checked(getpass.getpass(f"{SECRET} (not shown): "))
    except (EOFError, KeyboardInterrupt):
        sys.exit(f"{SECRET} refused: none was given")


def values(text: str) -> dict[str, str]:
    """Return the settings in the text of a settings file, each value as it is written there."""
    return dict(re.findall(LINE_START + r"(\w+)[ \t]*=[ \t]*(.*?)\s*$", text))


def value_in(text: str, name: str) -> str:
    """Return the value as it is written in the text, with any quotes; "" if it is empty."""
    value = re.match(r"'[^']*'|\"[^\"]*\"|[^#]*", values(text).get(name, ""))[0].strip()
    return value if value.strip("'\"") else ""


def database_url(answers: Answers, texts: Iterable[str]) -> str:
    """Return the PostgreSQL URL that one of the files already has, or else the default.

    The default gets a random port, so that projects can run side by side on one machine.
    """
    if answers["database"] == "sqlite":
        return answers["__database_url"]
    for text in texts:
        # Drop the name of SQLAlchemy's driver, which only the service uses.
        url = re.sub(r"\+\w+(?=://)", "", value_in(text, "DATABASE_URL"), count=1)
        if url.lstrip("'\"").startswith("postgres"):
            return url
    return answers["__database_url"].replace("5433", str(secrets.choice(PORTS)))


def completed(text: str, wanted: dict[str, str]) -> str:
    """Return the text with missing settings added and an unwanted secret removed.

    Fills in the secret and the URL if they are empty. Other empty values are the owner's choice.
    """
    if not (SECRET in wanted and value_in(text, SECRET)):
        text = re.sub(LINE_START + SECRET + r"(?:_PREVIOUS)?[ \t]*=.*\n?", "", text)
    if not value_in(text, "DATABASE_URL"):
        text = re.sub(LINE_START + r"DATABASE_URL[ \t]*=.*\n?", "", text)
    missing = [f"{name}={value}\n" for name, value in wanted.items() if name not in values(text)]
    return "".join([text, "\n" if missing and text[-1:] not in "\n" else "", *missing])


def write(path: Path, text: str) -> None:
    """Replace the file atomically. Only its owner can read it, from the first byte on."""
    try:
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            whole = Path(folder, path.name)
            whole.touch(0o600)
            whole.write_bytes(text.encode("latin-1"))
            whole.replace(path)
    except OSError as error:
        sys.exit(f"{path} cannot be written: {error.strerror}")


def write_settings(answers: Answers) -> str:
    """Add missing settings to both files; keep the secret and all edits. Return a note or ""."""
    # Latin-1 gives every byte back as it was.
    texts = {
        path: path.read_bytes().decode("latin-1") if path.exists() else ""
        for path in (SERVICE_ENV, FRONTEND_ENV)
    }
    found = [secret for text in texts.values() if (secret := value_in(text, SECRET))]
    kept = {secret.strip("'\""): secret for secret in found}
    if len(kept) > 1:
        return f"{SERVICE_ENV} and {FRONTEND_ENV} hold different secrets: neither was changed"
    url = database_url(answers, texts.values())
    needed = SECRET in itertools.chain(*settings(answers, "", url).values())
    secret = next(iter(kept.values()), "") or (new_secret(answers) if needed else "")
    for path, wanted in settings(answers, secret, url).items():
        write(path, completed(texts[path], wanted))

    if kept and not needed:
        return f"{SECRET} was taken out of {SERVICE_ENV}: nothing in this project needs it"
    given = os.environ.get(SECRET, "") if answers["better_auth_secret"] == "provide" else ""
    if kept and given and given not in kept:
        return f"the {SECRET} that was here stays; the one in the environment is not used"
    return ""


def without_secret() -> list[str]:
    """Return the settings files that need a secret and have none."""
    files = [path for path in (SERVICE_ENV, FRONTEND_ENV) if path.exists()]
    texts = {str(path): path.read_text("latin-1") for path in files}
    without = (path for path, text in texts.items() if not value_in(text, SECRET))
    return [path for path in without if SECRET in values(texts[path])]


def next_steps(answers: Answers) -> str:
    """What to do now and what for, with paths as they are inside the project."""
    name, shared = f"{Path.cwd().name}/", answers["token_verification"] == "shared-secret"
    if files := without_secret():
        where = " and ".join(files)
        return listed(
            f"{name} is ready but for {SECRET}, empty in {where}. Fill it in:",
            {"openssl rand -base64 32": "prints a good one" + ", for both" * (len(files) > 1)},
        )
    with_database = "PostgreSQL and " if answers["database"] == "postgresql" else ""
    steps = {"make run": f"{with_database}the API, on {API_URL}"}
    if shared:
        steps["make token"] = "in another terminal: a token to try it with"
    steps["make test"] = "its tests"
    if answers["frontend"] == "nextjs":
        frontend = "cd frontend && npm install && npm run dev"
        return listed(f"{name} is ready. In it:", {**steps, frontend: f"pages, on {FRONTEND_URL}"})
    own = {"BETTER_AUTH_URL": f"where it is, if not on {FRONTEND_URL}"}
    if shared:
        own[SECRET] = "what it signs with: the same there and here"
    else:
        own["JWKS_URL"] = "where its keys are, if not there under /api/auth/jwks"
    here = f"For your Better Auth 1.7.16+, set in {SERVICE_ENV} (its side: docs/authentication.md):"
    return listed(f"{name} is ready. In it:", steps) + "\n" + listed(here, own)


def listed(heading: str, steps: dict[str, str]) -> str:
    width = max(map(len, steps))
    return "\n".join([heading, *(f"    {do:{width}}  # {why}" for do, why in steps.items())])


def on_terminal(text: str) -> str:
    """The text with its steps in bold and what they are for faint."""
    return re.sub(r"(?m)^(    .*)(  # .*)$", "\x1b[1m\\1\x1b[m\x1b[2m\\2\x1b[m", text)


def mark_complete() -> None:
    """Empty the module that keeps a project from starting if its hooks did not run."""
    package = Path("app/__init__.py")
    if INCOMPLETE in package.read_text("utf-8"):
        package.write_text("")


def main(answers: Answers) -> None:
    drop_unused(answers)
    notice = write_settings(answers)
    mark_complete()
    if is_thrown_away(answers):
        return
    if notice:
        print(f"Note: {notice}.", file=sys.stderr)
    steps = next_steps(answers)
    # NO_COLOR as on no-color.org.
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    try:
        print(on_terminal(steps) if sys.stdout.isatty() and not is_plain else steps, flush=True)
    except OSError:
        # The output was closed, as with `| head -1`. If the hook failed now, or when Python flushes
        # at exit, Cookiecutter would delete the project.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    # JSON in JSON: the outer text is one Python literal, so a quote in an answer stays a quote.
    main(json.loads({{cookiecutter | jsonify | jsonify}}))
