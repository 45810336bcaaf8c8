"""The contents and sizes of the images."""

import stat
from pathlib import Path

import pytest

from lab.containers.conftest import Deployment, Image
from lab.faults.conftest import Figures

PARTS = pytest.mark.parametrize("part", ["api", "frontend"])
LARGEST = {"api": 250, "frontend": 500}  # megabytes
TOOLS = ("as", "cc", "gcc", "git", "ld", "make", "strip", "uv", "uvx")


def image_of(built: Deployment, part: str) -> Image:
    return built.api_image if part == "api" else built.frontend_image


def privileged(root: Path) -> set[str]:
    """The files that run with the rights of another user or group."""
    found = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    special = stat.S_ISUID | stat.S_ISGID
    return {str(path.relative_to(root)) for path in found if path.stat().st_mode & special}


def folder_size(folder: Path) -> int:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return round(sum(path.stat().st_size for path in files) / 1e6)


@PARTS
def test_image_is_smaller_than_its_limit(built: Deployment, part: str, figures: Figures) -> None:
    image = image_of(built, part)
    size, base = image.size(), image.size(image.base)
    with image.mounted() as root:
        parts = {path.name: folder_size(path) for path in (root / "app").iterdir() if path.is_dir()}

    own = ", ".join(f"{name} {size}" for name, size in sorted(parts.items()) if size)
    figures(megabytes=size, of_the_base=base, added=f"{size - base} ({own})")

    assert size < LARGEST[part]


@PARTS
def test_image_adds_no_tools_secrets_or_privileged_files(built: Deployment, part: str) -> None:
    image = image_of(built, part)
    secret = built.project.secret.encode()

    with image.mounted(image.base) as base:
        known = privileged(base)
    with image.mounted() as root:
        app = root / "app"
        files = [path for path in app.rglob("*") if path.is_file() and not path.is_symlink()]
        programs = {path.name for path in root.glob("usr/bin/*")}
        programs |= {path.name for path in root.glob("usr/local/bin/*")}

        assert privileged(root) == known
        assert not programs & {*TOOLS}
        assert not [path for path in root.rglob(".git")]
        assert not [path for path in root.rglob(".env*")]
        assert not [path for path in files if secret in path.read_bytes()]
        assert not [path for path in files if path.owner() != "root"]
        assert not [path for path in files if path.stat().st_mode & stat.S_IWOTH]
        assert not [*(root / "root").glob(".cache/*"), *(root / "root").glob(".npm/*")]


def test_services_image_holds_only_what_the_service_needs(built: Deployment) -> None:
    with built.api_image.mounted() as root:
        inside = {path.name for path in (root / "app").iterdir()}
        packages = {path.name for path in root.glob("app/.venv/lib/*/site-packages/*")}

    assert inside == {".venv", "app", "migrations", "pyproject.toml"}
    assert not packages & {"mypy", "pip", "pytest", "ruff", "schemathesis"}
    assert {"alembic", "fastapi", "opentelemetry", "redis"} <= packages


def test_frontends_image_holds_no_compiler(built: Deployment) -> None:
    with built.frontend_image.mounted() as root:
        inside = {path.name for path in (root / "app").iterdir()}
        modules = {path.name for path in (root / "app/node_modules").iterdir()}
        scoped = {path.name for path in (root / "app/node_modules/@next").iterdir()}

    auth = {"auth.db"} if built.database_url is None else set()
    assert inside - auth == {".next", "lib", "node_modules", "package.json", "scripts", "server.js"}
    assert not modules & {"openapi-typescript", "typescript"}
    assert scoped == {"env"}
