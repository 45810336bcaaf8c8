"""Finish a rendered project: drop what it does not use, write its settings, say what is next.

The secret never passes through Cookiecutter, which keeps answers in its replay file and rendered
hooks in the temporary folder, nor through cruft, which has the answers committed.
"""

import contextlib
import getpass
import itertools
import json
import os
import re
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

# What a project with this answer to the question has no use for.
UNUSED = {
    "database": {
        "sqlite": [
            "deploy/kubernetes/horizontalpodautoscaler.yaml",
            "deploy/kubernetes/migration.yaml",
            "deploy/kubernetes/poddisruptionbudget.yaml",
            "frontend/lib/database-postgresql.ts",
            "frontend/lib/postgresql",
            "scripts/postgres.py",
            "tests/test_pooling.py",
        ],
        "postgresql": [
            "deploy/kubernetes/persistentvolumeclaim.yaml",
            "frontend/lib/database-sqlite.ts",
        ],
    },
    "token_verification": {
        "shared-secret": ["frontend/lib/tokens-jwks.ts"],
        "jwks": ["frontend/lib/tokens-shared-secret.ts", "scripts/sign_token.py"],
    },
    "frontend": {"none": [".github/workflows/frontend.yml", "frontend"]},
}

SERVICE_ENV = Path(".env")
FRONTEND_ENV = Path("frontend/.env.local")
SECRET = "BETTER_AUTH_SECRET"
FRONTEND_URL = "http://localhost:3000"
API_URL = "http://localhost:8000"
# The first is Better Auth's own default. The service refuses these too.
PLACEHOLDER = r"(?i)better.auth.secret|change.?(me|this)|replace.?(me|this)|your.?secret"
LINE_START = r"(?m)^[ \t]*(?:export[ \t]+)?"

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


def settings(answers: Answers, secret: str) -> dict[Path, dict[str, str]]:
    """What each file sets. Issuer, audience and secret are the same in both."""
    database_url = answers["__database_url"]
    auth = {"BETTER_AUTH_URL": FRONTEND_URL, "JWT_AUDIENCE": API_URL}
    service = auth | {"CORS_ORIGINS": FRONTEND_URL, "DATABASE_URL": database_url}
    frontend = auth | {"NEXT_PUBLIC_API_URL": API_URL, SECRET: secret}
    if answers["token_verification"] == "shared-secret":
        service[SECRET] = secret
    if answers["database"] == "postgresql":
        # The same server; only Python names its driver.
        frontend["DATABASE_URL"] = database_url.replace("+asyncpg", "")
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
    """What the text of a settings file sets, each value as it is written there."""
    return dict(re.findall(LINE_START + r"(\w+)[ \t]*=[ \t]*(.*?)\s*$", text))


def secret_in(text: str) -> str:
    """The secret as it is written there, in quotes or not; an empty one is none."""
    secret = values(text).get(SECRET, "")
    return secret if secret.strip("'\"") else ""


def completed(text: str, wanted: dict[str, str]) -> str:
    """The text with the settings it lacks, and without a secret line that is empty or unwanted."""
    if not (SECRET in wanted and secret_in(text)):
        text = re.sub(LINE_START + SECRET + r"(?:_PREVIOUS)?[ \t]*=.*\n?", "", text)
    missing = [f"{name}={value}\n" for name, value in wanted.items() if name not in values(text)]
    return "".join([text, "\n" if missing and text[-1:] not in "\n" else "", *missing])


def write(path: Path, text: str) -> None:
    """Replace the file in one step; nobody but its owner can read it, from the first byte on."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        whole = Path(folder, path.name)
        whole.touch(0o600)
        whole.write_bytes(text.encode("latin-1"))
        whole.replace(path)


def write_settings(answers: Answers) -> str:
    """Add what the two files lack; the secret and the edits in them stay. Returns what to know."""
    # Latin-1 gives every byte back as it was.
    texts = {
        path: path.read_bytes().decode("latin-1") if path.exists() else ""
        for path in (SERVICE_ENV, FRONTEND_ENV)
    }
    kept = {secret.strip("'\""): secret for secret in map(secret_in, texts.values()) if secret}
    if len(kept) > 1:
        return f"{SERVICE_ENV} and {FRONTEND_ENV} hold different secrets: neither was changed"
    needed = SECRET in itertools.chain(*settings(answers, "").values())
    secret = next(iter(kept.values()), "") or (new_secret(answers) if needed else "")
    for path, wanted in settings(answers, secret).items():
        write(path, completed(texts[path], wanted))

    if kept and not needed:
        return f"{SECRET} was taken out of {SERVICE_ENV}: nothing in this project needs it"
    given = os.environ.get(SECRET, "") if answers["better_auth_secret"] == "provide" else ""
    if kept and given and given not in kept:
        return f"the {SECRET} that was here stays; the one in the environment is not used"
    return ""


def without_secret() -> list[str]:
    """The settings files that want a secret and have none."""
    files = [path for path in (SERVICE_ENV, FRONTEND_ENV) if path.exists()]
    texts = {str(path): path.read_text("latin-1") for path in files}
    return [path for path, text in texts.items() if SECRET in values(text) and not secret_in(text)]


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
    here = f"And for your Better Auth, in {SERVICE_ENV} (its side: docs/authentication.md):"
    return listed(f"{name} is ready. In it:", steps) + "\n" + listed(here, own)


def listed(heading: str, steps: dict[str, str]) -> str:
    width = max(map(len, steps))
    return "\n".join([heading, *(f"    {do:{width}}  # {why}" for do, why in steps.items())])


def on_terminal(text: str) -> str:
    """The text with its steps in bold and what they are for faint."""
    return re.sub(r"(?m)^(    .*)(  # .*)$", "\x1b[1m\\1\x1b[m\x1b[2m\\2\x1b[m", text)


def main(answers: Answers) -> None:
    drop_unused(answers)
    notice = write_settings(answers)
    if is_thrown_away(answers):
        return
    if notice:
        print(f"Note: {notice}.", file=sys.stderr)
    steps = next_steps(answers)
    # NO_COLOR as on no-color.org.
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    print(on_terminal(steps) if sys.stdout.isatty() and not is_plain else steps)


if __name__ == "__main__":
    # JSON in JSON: the outer text is one Python literal, so a quote in an answer stays a quote.
    main(json.loads({{cookiecutter | jsonify | jsonify}}))
