"""Every combination of answers renders a complete project without traces of the template."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from itertools import chain, cycle, product
from pathlib import Path

import pytest
import yaml

from tests.rendering import (
    PRE_COMMIT_ENVIRONMENT,
    PROJECT,
    ROOT,
    SECRET_FILES,
    Machine,
    RenderedProject,
    cannot_run,
    hook,
)

VARIABLES = json.loads((ROOT / "cookiecutter.json").read_text())
QUESTIONS = {name: answer for name, answer in VARIABLES.items() if not name.startswith("_")}
CHOICES = {name: offered for name, offered in QUESTIONS.items() if isinstance(offered, list)}
# Each license with some of the combinations, since it changes nothing but two files.
LICENSES = CHOICES["license"]
COMBINATIONS = [
    dict(zip(CHOICES, (*chosen, license_), strict=True))
    for chosen, license_ in zip(
        product(*(CHOICES[name] for name in CHOICES if name != "license")), cycle(LICENSES)
    )
]

# GitHub's expressions and React's style={{ }} are the projects' own.
TEMPLATE_SYNTAX = re.compile(r"cookiecutter|\{%|# ?jinja:|(?<![$=])\{\{", re.IGNORECASE)
LEFTOVERS = re.compile(
    r".*\.rej|.*\.orig|__pycache__|\.\w+_cache|node_modules|\.next|\.venv|uv\.lock"
)

PARSERS = {
    ".json": json.loads,
    ".py": ast.parse,
    ".toml": tomllib.loads,
    ".yaml": yaml.safe_load,
    ".yml": yaml.safe_load,
}

AWKWARD_TEXTS = [
    """Ann's "own" service""",
    r"back\slash \n \u0041 \\",
    "👩‍💻 Tâsks 🎉 名前",
    '"""',
    "<b>& # : - [x] *y* `z` $HOME %s ${x}",
    "x" * 100,
]


@pytest.fixture(
    scope="module", params=COMBINATIONS, ids=lambda combination: "-".join(combination.values())
)
def combination(request: pytest.FixtureRequest) -> dict[str, str]:
    return request.param


@pytest.fixture(scope="module")
def project(
    combination: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> RenderedProject:
    """The combination's project. Tests must not change it."""
    machine = Machine(tmp_path_factory.mktemp("machine"))
    secret = {"BETTER_AUTH_SECRET": "Zm9ydHktdHdvIGNoYXJhY3RlcnMgb2YgYmFzZTY0ISE="}
    return machine.render(env=secret, **combination)


def parse_everything(project: RenderedProject) -> None:
    for file in project.files:
        if parse := PARSERS.get(file.suffix):
            parse((project.path / file).read_text())


def test_project_contains_no_template_syntax(project: RenderedProject) -> None:
    for file in project.files:
        assert not TEMPLATE_SYNTAX.search(str(file))
        left = TEMPLATE_SYNTAX.search((project.path / file).read_text(errors="replace"))
        assert not left, f"{file}: {left[0]}"


def test_project_contains_no_caches_or_build_artifacts(project: RenderedProject) -> None:
    parts = {part for file in project.files for part in file.parts}

    assert not [part for part in parts if LEFTOVERS.fullmatch(part)]


def test_project_has_only_the_files_its_choices_use(
    project: RenderedProject, combination: dict[str, str]
) -> None:
    table = hook("post_gen_project").UNUSED
    unused = {name for asked, files in table.items() for name in files.get(combination[asked], [])}

    for name in {name for files in table.values() for names in files.values() for name in names}:
        dropped = any(Path(name).is_relative_to(other) for other in unused)
        assert (project.path / name).exists() is not dropped, name


def ruff(folder: Path, command: str) -> None:
    # No cache: in the template's project folder, it would be rendered.
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command.split(), "--no-cache", "."],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", ["check", "format --check"])
def test_project_passes_ruff(project: RenderedProject, command: str) -> None:
    ruff(project.path, command)


def test_each_direct_dependency_is_listed_as_a_package(project: RenderedProject) -> None:
    pyproject = tomllib.loads((project.path / "pyproject.toml").read_text())
    extras, groups = pyproject["project"]["optional-dependencies"], pyproject["dependency-groups"]
    required = chain(pyproject["project"]["dependencies"], *extras.values(), *groups.values())

    names = {re.match(r"[\w-]+", requirement)[0] for requirement in required}
    assert names <= {*VARIABLES["_packages"].split()}


def test_license_file_and_metadata_follow_the_answer(
    project: RenderedProject, combination: dict[str, str]
) -> None:
    chosen = combination["license"]
    file = project.path / "LICENSE"
    metadata = tomllib.loads((project.path / "pyproject.toml").read_text())["project"]

    assert metadata.get("license", "none") == chosen
    assert metadata.get("license-files", []) == ([file.name] if file.exists() else [])
    beginning = file.read_text().split()[:2] if file.exists() else None
    assert beginning == {"none": None, "MIT": ["MIT", "License"]}.get(chosen, ["Apache", "License"])


def test_rendering_again_without_a_license_keeps_the_owners_license_file(machine: Machine) -> None:
    project = machine.render(license="none")
    (project.path / "LICENSE").write_text("All rights reserved.")

    machine.render("--overwrite-if-exists", license="none")

    assert (project.path / "LICENSE").read_text() == "All rights reserved."


def test_ci_matrix_has_the_python_versions_of_the_classifiers(project: RenderedProject) -> None:
    pyproject = tomllib.loads((project.path / "pyproject.toml").read_text())
    workflow = yaml.safe_load((project.path / ".github/workflows/ci.yml").read_text())

    matrix = workflow["jobs"]["check"]["strategy"]["matrix"]["python"]
    assert [f"Programming Language :: Python :: {version}" for version in matrix] == (
        pyproject["project"]["classifiers"]
    )


def test_every_file_parses(project: RenderedProject) -> None:
    parse_everything(project)


def test_settings_of_service_and_frontend_agree(project: RenderedProject) -> None:
    service, *frontend = [
        project.settings(file) for file in SECRET_FILES if (project.path / file).exists()
    ]

    for settings in frontend:
        for name in service.keys() & settings.keys() - {"DATABASE_URL"}:
            assert service[name] == settings[name]
        assert settings["NEXT_PUBLIC_API_URL"] == service["JWT_AUDIENCE"]
    assert service["CORS_ORIGINS"] == service["BETTER_AUTH_URL"]


def test_env_examples_document_every_setting(project: RenderedProject) -> None:
    for file, example in zip(SECRET_FILES, (".env.example", "frontend/.env.example"), strict=True):
        if (project.path / file).exists():
            explained = (project.path / example).read_text()
            for name in project.settings(file):
                assert re.search(rf"(?m)^(# ?)?{name}=", explained), f"{name} in {example}"


def test_only_secret_files_have_mode_0600(project: RenderedProject) -> None:
    modes = {file: (project.path / file).stat().st_mode & 0o777 for file in project.files}

    assert {modes.get(file, 0o600) for file in SECRET_FILES} == {0o600}
    assert [
        file for file, mode in modes.items() if mode == 0o600 and file not in SECRET_FILES
    ] == []


def test_next_steps_are_targets_of_the_makefile(project: RenderedProject) -> None:
    targets = re.findall(r"^    make (\w+)", project.printed, re.MULTILINE)

    assert targets[0] == "run"
    assert set(targets) <= set(re.findall(r"(?m)^(\w+):", (project.path / "Makefile").read_text()))


def test_help_lists_every_command_of_the_project(project: RenderedProject) -> None:
    targets = re.findall(r"(?m)^([a-z]+):", (project.path / "Makefile").read_text())

    listed = re.findall(r"(?m)^  make (\w+)  .*\w", project.run("make"))
    assert listed == [target for target in targets if target != "python"]


@pytest.mark.parametrize("combination", [COMBINATIONS[0], COMBINATIONS[-2]])
@pytest.mark.parametrize("text", AWKWARD_TEXTS)
def test_unusual_characters_in_names_are_preserved(
    machine: Machine, combination: dict[str, str], text: str
) -> None:
    names = {"project_name": text, "description": text * 5, "project_slug": "task-service"}
    project = machine.render(**names, **combination)

    parse_everything(project)
    pyproject = tomllib.loads((project.path / "pyproject.toml").read_text())
    assert pyproject["project"]["description"] == text * 5
    assert pyproject["tool"]["service"]["title"] == text


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Task Service", "task-service"), ("Ann's Größe 2!", "ann-s-grosse-2"), ("x" * 100, "x" * 60)],
)
def test_default_slug_is_derived_from_the_name(machine: Machine, name: str, slug: str) -> None:
    machine.cookiecutter(project_name=name)

    assert [path.name for path in machine.output.iterdir()] == [slug]


def test_readme_documents_every_question_and_choice() -> None:
    readme = (ROOT / "README.md").read_text()
    documented = re.findall(r"^\| `(\w+)` \| (.*?) \|", readme, re.MULTILINE)

    assert [name for name, _ in documented] == list(QUESTIONS)
    for name, values in documented:
        if name in CHOICES:
            assert re.findall(r"`(.*?)`", values) == CHOICES[name]


def test_every_question_and_choice_has_a_prompt() -> None:
    prompts = VARIABLES["__prompts__"]

    assert list(prompts) == list(QUESTIONS)
    for name, offered in CHOICES.items():
        assert list(prompts[name]) == ["__prompt__", *offered]


# The template before rendering


@pytest.mark.parametrize("command", ["check", "format --check"])
def test_template_passes_ruff(command: str) -> None:
    ruff(ROOT, command)


def test_template_passes_its_pre_commit_hooks() -> None:
    if not (ROOT / ".git").exists():
        cannot_run("pre-commit reads a repository")
    done = subprocess.run(
        [sys.executable, "-m", "pre_commit", "run", "--all-files"],
        cwd=ROOT,
        env=os.environ | PRE_COMMIT_ENVIRONMENT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Passed") == 3


def test_python_files_contain_almost_no_jinja() -> None:
    blocks = [
        f"{path.relative_to(ROOT)}: {block}"
        for folder in (PROJECT, ROOT / "templates")
        for path in folder.rglob("*.py")
        for block in re.findall(r"# jinja: (?:if|for) .*|\{%.*?%\}", path.read_text())
    ]

    assert len(blocks) <= 6, "\n".join(blocks)


@pytest.mark.parametrize(
    "hook", sorted(Path(ROOT, "hooks").glob("*.py")), ids=lambda hook: hook.stem
)
def test_hooks_import_only_the_standard_library(hook: Path) -> None:
    imports = [
        node for node in ast.walk(ast.parse(hook.read_text())) if isinstance(node, ast.Import)
    ]
    names = {alias.name for node in imports for alias in node.names}

    assert names <= sys.stdlib_module_names
