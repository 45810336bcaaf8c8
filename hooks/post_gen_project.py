"""Finish a rendered project: delete unused files, write its settings, print the next steps.

The secret never passes through Cookiecutter, which stores answers in its replay file and leaves
rendered hooks in the temporary folder, nor through cruft, which stores answers in the repository.
"""

import os
import sys

# Python imports modules from the hook's own folder first. That is the temporary folder, where
# another user may have left a `json.py`.
if os.path.dirname(__file__) in sys.path:
    sys.path.remove(os.path.dirname(__file__))

import contextlib
import getpass
import json
import re
import secrets
import shutil
import tempfile
from pathlib import Path

# Files that a project does not need, by question and answer.
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
# The first one is Better Auth's own default. The service rejects these, too.
PLACEHOLDER = r"(?i)better.auth.secret|change.?(me|this)|replace.?(me|this)|your.?secret"
# A byte order mark may come first. Decoded as Latin-1, it is three characters.
LINE_START = r"(?m)(?:^|(?<=\A\xef\xbb\xbf))[ \t]*(?:export[ \t]+)?"
SETTING = LINE_START + r"""(\w+)[ \t]*=[ \t]*('[^'\n]*'|"[^"\n]*"|[^#\n]*)"""
# Ports for development databases: below the ephemeral range, and few programs listen there.
PORTS = range(20_000, 24_000)

Answers = dict[str, str]


def delete_unused(answers: Answers) -> None:
    """Delete the files that these answers do not need, and folders that become empty."""
    unused = [name for asked, files in UNUSED.items() for name in files.get(answers[asked], [])]
    for path in map(Path, unused):
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.removedirs(path.parent)


def env_files(answers: Answers, secret: str, database_url: str) -> dict[Path, dict[str, str]]:
    """Return the settings of each file.

    The service and the frontend share the issuer and the audience. If both need the secret or the
    database URL, they share these, too.
    """
    auth = {"BETTER_AUTH_URL": FRONTEND_URL, "JWT_AUDIENCE": API_URL}
    service = auth | {"CORS_ORIGINS": FRONTEND_URL, "DATABASE_URL": database_url}
    frontend = auth | {"NEXT_PUBLIC_API_URL": API_URL, SECRET: secret}
    if answers["token_verification"] == "shared-secret":
        service[SECRET] = secret
    if answers["database"] == "postgresql":
        frontend["DATABASE_URL"] = database_url
    files = {SERVICE_ENV: service, FRONTEND_ENV: frontend}
    return files if answers["frontend"] == "nextjs" else {SERVICE_ENV: service}


def validate_secret(secret: str) -> str:
    """Return the secret, or exit if it is not acceptable. The message never shows the secret."""
    rules = {
        "at least 32 characters": len(secret) >= 32,
        "more than two different characters": len(set(secret)) > 2,
        "not a placeholder": not re.search(PLACEHOLDER, secret),
        "printable ASCII only": secret.isascii() and secret.isprintable(),
        "no blank, quote, backtick, #, $ or backslash": not set(secret) & set(" '\"`#$\\"),
    }
    for rule, holds in rules.items():
        if not holds:
            sys.exit(f"{SECRET} refused: {rule}. `openssl rand -base64 32` prints a suitable one.")
    return secret


def is_cruft_temporary_copy(answers: Answers) -> bool:
    """Return whether `cruft update` renders this copy, which it compares and then deletes.

    cruft renders each copy into a temporary folder: /tmp/tmpabc123/task-service.
    """
    return (
        "_commit" in answers and Path.cwd().parent.parent == Path(tempfile.gettempdir()).resolve()
    )


def new_secret(answers: Answers) -> str:
    """Generate the secret or get it from the user; "" if none is set and there is no terminal."""
    if answers["better_auth_secret"] == "generate":
        return secrets.token_urlsafe(48)
    if is_cruft_temporary_copy(answers):
        return ""
    if given := os.environ.get(SECRET):
        return validate_secret(given)
    if not sys.stdin.isatty():
        return ""
    try:
        return validate_secret(getpass.getpass(f"{SECRET} (not shown): "))
    except (EOFError, KeyboardInterrupt):
        sys.exit(f"{SECRET} refused: no secret was entered.")


def values(text: str) -> dict[str, str]:
    """Return the settings in a file's text as they are written there, without comments.

    Values keep their quotes, but empty quotes become "".
    """
    found = re.findall(SETTING, text)
    return {name: value.strip() if value.strip("'\" \t\r") else "" for name, value in found}


def database_url(answers: Answers, found: list[dict[str, str]]) -> str:
    """Return the PostgreSQL URL of an existing file, or else the default.

    The default gets a random port, so that projects can run side by side on one machine.
    """
    if answers["database"] == "sqlite":
        return answers["__database_url"]
    existing = (each.get("DATABASE_URL", "") for each in found)
    # Drop the name of SQLAlchemy's driver, which only the service uses.
    urls = (re.sub(r"\+\w+(?=://)", "", url, count=1) for url in existing)
    default = answers["__database_url"].replace("5433", str(secrets.choice(PORTS)))
    return next((url for url in urls if url.lstrip("'\"").startswith("postgres")), default)


def completed(text: str, wanted: dict[str, str]) -> str:
    """Return the text with missing settings added and an unwanted secret removed.

    An empty secret or URL is filled in. Other empty values are the owner's choice.
    """
    found = values(text)
    if not (SECRET in wanted and found.get(SECRET)):
        text = re.sub(LINE_START + SECRET + r"(?:_PREVIOUS)?[ \t]*=.*\n?", "", text)
    if not found.get("DATABASE_URL"):
        text = re.sub(LINE_START + r"DATABASE_URL[ \t]*=.*\n?", "", text)
    found = values(text)
    missing = "".join(f"{name}={wanted[name]}\n" for name in wanted if name not in found)
    return text + ("\n" if missing and text[-1:] not in "\n" else "") + missing


def write(path: Path, text: str) -> None:
    """Replace the file atomically. It has mode 0600 before it has content."""
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
    # Latin-1 preserves every byte.
    texts = {
        path: path.read_bytes().decode("latin-1") if path.exists() else ""
        for path in (SERVICE_ENV, FRONTEND_ENV)
    }
    found = [values(text) for text in texts.values()]
    kept = {each[SECRET].strip("'\""): each[SECRET] for each in found if each.get(SECRET)}
    if len(kept) > 1:
        return f"{SERVICE_ENV} and {FRONTEND_ENV} hold different secrets; neither was changed"
    url = database_url(answers, found)
    needed = any(SECRET in wanted for wanted in env_files(answers, "", url).values())
    secret = next(iter(kept.values()), "") or (new_secret(answers) if needed else "")
    for path, wanted in env_files(answers, secret, url).items():
        write(path, completed(texts[path], wanted))

    if kept and not needed:
        return f"{SECRET} was removed from {SERVICE_ENV}, since this project does not use it"
    given = os.environ.get(SECRET, "") if answers["better_auth_secret"] == "provide" else ""
    if kept and given and given not in kept:
        return f"the existing {SECRET} was kept; the one in the environment was not used"
    return ""


def next_steps(answers: Answers) -> str:
    """Return the commands to run next, with paths relative to the project."""
    name, shared = f"{Path.cwd().name}/", answers["token_verification"] == "shared-secret"
    files = [str(path) for path in (SERVICE_ENV, FRONTEND_ENV) if path.exists()]
    empty = [file for file in files if values(Path(file).read_text("latin-1")).get(SECRET) == ""]
    if empty:
        return listed(
            f"{name} is ready, but {SECRET} is empty in {' and '.join(empty)}. Fill it in:",
            {"openssl rand -base64 32": "prints a suitable one" + ", for both" * (len(empty) > 1)},
        )
    with_database = "PostgreSQL and " if answers["database"] == "postgresql" else ""
    steps = {"make run": f"{with_database}the API on {API_URL}"}
    if shared:
        steps["make token"] = "in another terminal: a token to try it with"
    steps["make test"] = "its tests"
    if answers["frontend"] == "nextjs":
        steps["cd frontend && npm install && npm run dev"] = f"the frontend on {FRONTEND_URL}"
        return listed(f"{name} is ready. Run there:", steps)
    own = {"BETTER_AUTH_URL": f"its URL, if not {FRONTEND_URL}"}
    if shared:
        own[SECRET] = "the secret that it signs with"
    else:
        own["JWKS_URL"] = "the URL of its keys, if not /api/auth/jwks there"
    here = f"For your Better Auth 1.7.16+, set in {SERVICE_ENV} (see docs/authentication.md):"
    return listed(f"{name} is ready. Run there:", steps) + "\n" + listed(here, own)


def listed(heading: str, steps: dict[str, str]) -> str:
    width = max(map(len, steps))
    return "\n".join([heading, *(f"    {step:{width}}  # {why}" for step, why in steps.items())])


def on_terminal(text: str) -> str:
    """Return the text with commands in bold and comments faint."""
    return re.sub(r"(?m)^(    .*)(  # .*)$", "\x1b[1m\\1\x1b[m\x1b[2m\\2\x1b[m", text)


def mark_complete() -> None:
    """Empty the module that stops projects from starting if the hooks did not run."""
    package = Path("app/__init__.py")
    if INCOMPLETE in package.read_text("utf-8"):
        package.write_text("")


def main(answers: Answers) -> None:
    delete_unused(answers)
    notice = write_settings(answers)
    mark_complete()
    if is_cruft_temporary_copy(answers):
        return
    if notice:
        print(f"Note: {notice}.", file=sys.stderr)
    steps = next_steps(answers)
    # https://no-color.org
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    try:
        print(on_terminal(steps) if sys.stdout.isatty() and not is_plain else steps, flush=True)
    except OSError:
        # The output is closed, as with `| head -1`. If the hook failed now, or when Python flushes
        # at exit, Cookiecutter would delete the project.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    # JSON in JSON: the outer text is one Python literal, so a quote in an answer stays a quote.
    main(json.loads({{cookiecutter | jsonify | jsonify}}))
