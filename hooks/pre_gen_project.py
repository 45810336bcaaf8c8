"""Refuse versions, answers and settings files from which no working project can be rendered.

Nothing has been written yet. Cookiecutter runs hooks with its own Python, so a Python that is too
old for the hooks is refused first.
"""

import os
import sys

# Python imports modules from the hook's own folder first. That is the temporary folder, where
# another user may have left a `json.py`.
if os.path.dirname(__file__) in sys.path:
    sys.path.remove(os.path.dirname(__file__))
if sys.version_info < (3, 9):  # noqa: UP036
    sys.exit(
        f"Cookiecutter runs on Python {sys.version.split()[0]}, but this template needs Python 3.9 "
        "or later. Try uvx cookiecutter, or pipx run cookiecutter."
    )

import json
import re
import unicodedata
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# The oldest version that renders correct projects, with `--replay`, too, and shows readable
# questions. On a terminal, Cookiecutter 1 asks for `__prompts__` endlessly and never runs this
# hook. There, the default slug in cookiecutter.json says that the version is too old.
COOKIECUTTER = (2, 3)
SETTINGS = (Path(".env"), Path("frontend/.env.local"))
# The settings that the post-generation hook copies from one file to the other.
REUSED = r"(?m)^(?:\xef\xbb\xbf)?\s*(?:export\s+)?(BETTER_AUTH_SECRET|DATABASE_URL)[ \t]*=(.*)$"
# Values that the service, the frontend, Docker Compose and shells read the same way.
READ_ALIKE = r"""\s*("[^"$`\\]*"|'[^'$`\\]*'|[^\s"'#$`][^#$`]*)?([ \t]+\#.*)?\s*"""
READ_ALIKE_RULE = (
    "use no $ or backtick, put a value with # in quotes, and use no quotes or backslashes inside "
    "quotes"
)

LONGEST = {"project_name": 100, "description": 500}
LONGEST_SLUG = 63  # as names are in Kubernetes
CHOICES = {
    "database": ("sqlite", "postgresql"),
    "token_verification": ("shared-secret", "jwks"),
    "better_auth_secret": ("generate", "provide"),
    "frontend": ("nextjs", "none"),
    "license": ("none", "MIT", "Apache-2.0"),
}


def refusals(answers: dict[str, str]) -> list[str]:
    """Return a line for each answer that breaks a rule."""
    broken = {}
    slug = answers["project_slug"]
    if not re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", slug):
        broken["project_slug"] = "only a-z, 0-9 and hyphens, a letter first, no hyphen last"
    elif len(slug) > LONGEST_SLUG:
        broken["project_slug"] = f"at most {LONGEST_SLUG} characters"
    # `_packages` lists the packages that projects install. uv would confuse project and package.
    elif re.sub("-+", "-", slug) in answers["_packages"].split():
        broken["project_slug"] = "the project depends on a package of that name"
    if not answers["project_name"].strip():
        broken["project_name"] = "must not be empty"
    for field, most in LONGEST.items():
        if len(answers[field]) > most:
            broken[field] = f"at most {most} characters"
        # Zl and Zp end lines, too. Cf is accepted: many emoji contain its joiner.
        if {unicodedata.category(char) for char in answers[field]} & {"Cc", "Cs", "Zl", "Zp"}:
            broken[field] = "one line, no control characters"
        if re.search(r"\{[#%{]", answers[field]):
            broken[field] = "no brace before {, % or #, since cruft would render it as a template"
    for field, choices in CHOICES.items():
        if answers[field] not in choices:
            broken[field] = f"one of {', '.join(choices)}"
    if answers["frontend"] == "none" and Path("frontend").exists():
        broken["frontend"] = "this would delete the existing frontend/; move it away first"
    return [f"{field} {answers[field][:80]!r} refused: {rule}" for field, rule in broken.items()]


def refused_settings() -> list[str]:
    """Return a line for each setting of an existing project that cannot be kept, without values."""
    refused = []
    for path in SETTINGS:
        try:
            text = path.read_bytes().decode("latin-1")
        except FileNotFoundError:
            continue
        except OSError as error:
            refused.append(f"{path} cannot be read: {error.strerror}")
            continue
        if "\0" in text or text[:2] in ("\xff\xfe", "\xfe\xff"):
            refused.append(f"{path} refused: it is UTF-16; save it as UTF-8")
            continue
        for name, value in re.findall(REUSED, text):
            if not re.fullmatch(READ_ALIKE, value):
                refused.append(f"{name} in {path} refused: {READ_ALIKE_RULE}")
    return refused


def refused_version() -> list[str]:
    """Return a line if Cookiecutter is too old. One without metadata, as in a zipapp, passes."""
    try:
        found = version("cookiecutter")
    except PackageNotFoundError:
        return []
    if tuple(map(int, re.findall(r"\d+", found)[:3])) >= COOKIECUTTER:
        return []
    needed = ".".join(map(str, COOKIECUTTER))
    return [
        f"Cookiecutter {found} is too old: this template needs {needed} or later. "
        "Try uvx cookiecutter, or pipx run cookiecutter."
    ]


def main(answers: dict[str, str]) -> None:
    sys.exit("\n".join(refused_version() or refusals(answers) + refused_settings()) or 0)


if __name__ == "__main__":
    # JSON in JSON: the outer text is one Python literal, so a quote in an answer stays a quote.
    main(json.loads({{cookiecutter | jsonify | jsonify}}))
