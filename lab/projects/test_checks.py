"""Rendered projects pass their checks, and work as documented."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory

import pytest
import yaml
from packaging.utils import canonicalize_name

from lab.pages import applying, blocks
from lab.servers import Server, answers, free_ports
from tests.rendering import PRE_COMMIT_ENVIRONMENT, PROJECT, ROOT, Machine, RenderedProject


@pytest.fixture
def machine() -> Iterator[Machine]:
    # Not in pytest's folder, which each pytest that starts, a project's own among them, closes to
    # all but its user: the PostgreSQL of a project that root tests runs as another.
    with TemporaryDirectory(prefix="rendered projects-") as root:
        yield Machine(Path(root))


def python(version: str) -> str:
    """Return the path of this Python, also if pyenv has it, or ""."""
    name = f"python{version}"
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    for found in (shutil.which(name), *kept.glob(f"{version}.*/bin/{name}")):
        # pyenv's commands exist for all versions, and work only for some.
        if found and subprocess.run([found, "-c", ""], capture_output=True).returncode == 0:
            return str(found)
    return ""


def pythons() -> list[str]:
    """Return the supported Pythons of this machine, the oldest first."""
    workflow = yaml.safe_load((PROJECT / ".github/workflows/ci.yml").read_text())
    supported = workflow["jobs"]["check"]["strategy"]["matrix"]["python"]
    return [found for version in supported if (found := python(version))] or ["python3"]


# Each database and each way to verify meets the oldest and the newest Python; all eight would take
# twice the time. The names are those suggested, and such as have broken templates; the folder has
# a space in its name.
@pytest.mark.parametrize(
    ("database", "token_verification", "age", "names"),
    [
        ("sqlite", "shared-secret", 0, {}),
        ("sqlite", "jwks", -1, {"project_name": "名前 'x' \"y\" 🎉", "project_slug": "json"}),
        ("postgresql", "shared-secret", -1, {"project_name": "x" * 100, "project_slug": "x" * 63}),
        ("postgresql", "jwks", 0, {"project_name": r"a\b \u0041", "project_slug": "app"}),
    ],
)
def test_rendered_project_passes_make_check(
    machine: Machine, database: str, token_verification: str, age: int, names: dict[str, str]
) -> None:
    project = machine.render(database=database, token_verification=token_verification, **names)

    printed = project.run(f"make check PYTHON={pythons()[age]}")

    assert all_passed(printed)
    assert_installed_packages_are_listed(project)


def all_passed(printed: str) -> bool:
    return " passed" in printed and not re.search(r"\d (skipped|failed)", printed)


def assert_installed_packages_are_listed(project: RenderedProject) -> None:
    """`make packages` updates the list, from which a hook refuses names of projects."""
    [packages] = (project.path / ".venv/lib").glob("python*/site-packages")
    installed = {canonicalize_name(each.name) for each in distributions(path=[str(packages)])}
    questions = json.loads((ROOT / "cookiecutter.json").read_text())
    listed = {*questions["_packages"].split(), project.path.name}
    # Releases of dependencies may need a few more by now.
    assert len(installed - listed) <= 5, installed - listed


# Where there is no make


def path_without_make(folder: Path) -> str:
    """Return a PATH with uv and all programs of this machine except make."""
    places = [Path(place) for place in os.get_exec_path() if Path(place).is_dir()]
    programs = [program for place in places for program in place.iterdir()]
    programs += [ROOT / ".tools/bin/uv"]
    folder.mkdir()
    for program in programs:
        link = folder / program.name
        if program.name not in ("make", "gmake") and program.exists() and not link.exists():
            link.symlink_to(program)
    return str(folder)


def commands(project: RenderedProject, tool: str) -> list[tuple[str, str]]:
    """What the README has in place of a target of make, with the target."""
    readme = (project.path / "README.md").read_text()
    rows = re.findall(r"(?m)^\| `make (\w+).*\| (.*?) \|$", readme)
    found = [
        (target, command)
        for target, cell in rows
        for command in re.findall("`(.*?)`", cell)
        if "uv run " in command
    ]
    if beside := re.findall("put `(.*?)` before a command that needs the database", readme):
        needs = ("run", "dev", "migrate", "migration", "resource", "field")
        found = [
            (target, f"{beside[0]} {command}" if target in needs else command)
            for target, command in found
        ]
    if tool == "uv":
        return found
    [installation] = re.findall(r"(?m)^python3 -m venv .*", readme)
    assert "omit `uv run` in the commands above" in readme
    return [("", installation), *((target, each.replace("uv run ", "")) for target, each in found)]


@pytest.mark.parametrize(("database", "tool"), [("postgresql", "uv"), ("sqlite", "pip")])
def test_readme_commands_work_without_make(machine: Machine, database: str, tool: str) -> None:
    project = machine.render(database=database)
    path = path_without_make(machine.root / "programs")
    path = f"{project.path}/.venv/bin:{path}" if tool == "pip" else path
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}/health/ready"
    printed = {}

    for target, command in commands(project, tool):
        if target in ("run", "dev"):
            environment = {"PATH": path, "PORT": str(port)}
            server = Server(command, project.path, lambda: answers(url), environment=environment)
            try:
                server.start()
            finally:
                server.stop()
        else:
            known = command.replace("…", printed.get("token", ""))
            printed[target] = project.run(known, PATH=path).strip()

    assert " passed" in printed["test"].splitlines()[-1]
    assert "would accept this token" in printed["doctor"]


# What its pages lead to


def follow(project: RenderedProject, section: str, checks: str) -> str:
    """Run the blocks of the section, and nothing else. Return what they print."""
    page = (project.path / "docs/adding-a-resource.md").read_text()
    [text] = re.findall(rf"(?ms)^## {section}$(.*?)(?=^## |\Z)", page)
    commands = [
        block if kind == "sh" else applying(block) for kind, block, _ in blocks(text, "sh|diff")
    ]
    assert commands[-1].endswith("make check\n")
    script = project.path.parent / "script"
    script.write_text("".join(commands).replace("make check", f"make {checks}"))
    return project.run(f"sh -eu {quote(str(script))}")


@pytest.mark.parametrize(("database", "checks"), [("sqlite", "check"), ("postgresql", "test")])
def test_second_resource_and_removal_of_tasks_work_as_documented(
    machine: Machine, database: str, checks: str
) -> None:
    project = machine.render(database=database, frontend="none")

    follow(project, "Add a resource", "help")
    follow(project, "Add a field", "help")
    with_both = project.run("make openapi")
    removed = follow(project, "Remove tasks", checks)
    with_notes = project.run("make openapi")

    assert '"/api/v1/notes/{id}"' in with_both
    assert '"/api/v1/tasks/{id}"' in with_both
    for file in (project.path / "app").glob("*/note.py"):
        assert "owner_id" not in file.read_text()
    assert all_passed(removed)
    assert '"/api/v1/notes/{id}"' in with_notes
    assert "task" not in with_notes.partition('"paths"')[2].lower()


@pytest.mark.parametrize(
    ("database", "token_verification", "frontend"),
    [("sqlite", "shared-secret", "nextjs"), ("postgresql", "jwks", "none")],
)
def test_pre_commit_rejects_only_commits_with_secrets(
    machine: Machine, database: str, token_verification: str, frontend: str
) -> None:
    project = machine.render(
        database=database, token_verification=token_verification, frontend=frontend
    )
    project.run("make .venv/ready")
    secret = project.secret if frontend == "nextjs" else "Zm9ydHktdHdvIGNoYXJhY3RlcnMgb2YgYmFzZTY0"
    leaks = {
        ".env": f"BETTER_AUTH_SECRET={secret}\n",
        "compose.yaml": f"x:\n  BETTER_AUTH_SECRET: {secret}\n",
        "tests/test_leak.py": f'TOKEN = "{secret}"\n',
        "key.pem": "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n",
    }
    pre_commit = (sys.executable, "-m", "pre_commit", "run")
    for command in ("init --quiet", "add --all"):
        machine.run("git", *command.split(), cwd=project.path)

    fresh = machine.run(*pre_commit, "--all-files", cwd=project.path, env=PRE_COMMIT_ENVIRONMENT)
    refused = []
    for file, leak in leaks.items():
        (project.path / file).write_text(leak)
        machine.run("git", "add", "--force", file, cwd=project.path)
        secrets = (*pre_commit, "secrets", "--files", file)
        refused.append(machine.run(*secrets, cwd=project.path, env=PRE_COMMIT_ENVIRONMENT))

    assert fresh.returncode == 0, fresh.stdout + fresh.stderr
    assert fresh.stdout.count("Passed") == 4
    for done, file in zip(refused, leaks, strict=True):
        assert f"Location:    {file}:" in done.stdout
        assert done.returncode == 1
        assert secret not in done.stdout + done.stderr
