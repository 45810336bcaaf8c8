"""cruft makes the same project as Cookiecutter, and brings it up to date without its secret."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from conftest import PROJECT, ROOT, SECRET_FILES, Machine, RenderedProject

CRUFT = (sys.executable, "-m", "cruft")


def git(machine: Machine, folder: Path, *commands: str) -> None:
    for command in commands:
        done = machine.run("git", *command.split(), cwd=folder)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def template(machine: Machine) -> Path:
    """A repository of its own that holds the template, with one commit."""
    folder = machine.root / "template"
    for name in ("hooks", "templates", PROJECT.name):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "cookiecutter.json", folder)
    git(machine, folder, "init --quiet", "add --all", "commit --quiet --message=old")
    return folder


def create(machine: Machine, template: Path, **answers: str) -> RenderedProject:
    extra = json.dumps(answers)
    done = machine.run(*CRUFT, "create", template, "--no-input", "--extra-context", extra)
    assert done.returncode == 0, done.stderr
    return RenderedProject(machine.output / "task-service", done.stdout + done.stderr)


def test_cruft_and_cookiecutter_make_the_same_project(machine: Machine, template: Path) -> None:
    by_cruft = create(machine, template)
    by_cruft.path.rename(machine.output / "by-cruft")
    by_cruft = RenderedProject(machine.output / "by-cruft")
    by_cookiecutter = machine.render()

    differing = {
        str(file)
        for file in {*by_cruft.files, *by_cookiecutter.files}
        if not (by_cruft.path / file).exists()
        or not (by_cookiecutter.path / file).exists()
        or (by_cruft.path / file).read_bytes() != (by_cookiecutter.path / file).read_bytes()
    }
    assert differing == {".cruft.json", *map(str, SECRET_FILES)}


@pytest.mark.parametrize("origin", ["generate", "provide"])
def test_an_update_brings_what_is_new_and_keeps_the_secret(
    machine: Machine, template: Path, origin: str
) -> None:
    project = create(machine, template, better_auth_secret="generate")
    git(machine, project.path, "init --quiet", "add --all", "commit --quiet --message=mine")
    secret = project.secret
    settings = {file: (project.path / file).read_bytes() for file in SECRET_FILES}

    source = template / PROJECT.name
    (source / "README.md").write_text((source / "README.md").read_text() + "\nA new paragraph.\n")
    (source / "app/new.py").write_text('"""{{ cookiecutter.database }}"""\n')
    hook = template / "hooks/post_gen_project.py"
    hook.write_text(hook.read_text().replace("localhost:3000", "localhost:3999"))
    git(machine, template, "add --all", "commit --quiet --message=new")
    answers = json.dumps({"better_auth_secret": origin})
    update = ("update", "--skip-apply-ask", "--variables-to-update", answers)
    done = machine.run(*CRUFT, *update, cwd=project.path)

    assert done.returncode == 0, done.stderr
    assert "as clean as possible" in done.stdout
    assert (project.path / "README.md").read_text().endswith("\nA new paragraph.\n")
    assert (project.path / "app/new.py").read_text() == '"""sqlite"""\n'
    assert [file for file in project.files if file.suffix == ".rej"] == []
    assert {file: (project.path / file).read_bytes() for file in SECRET_FILES} == settings
    assert machine.files_holding(secret) == [project.path / file for file in SECRET_FILES]
    assert [path for path in machine.temporary.rglob("*") if path.name.startswith(".env")] == []


def test_answers_that_cruft_keeps_are_the_questions_own(machine: Machine, template: Path) -> None:
    project = create(machine, template)

    kept = json.loads((project.path / ".cruft.json").read_text())["context"]["cookiecutter"]
    assert kept["better_auth_secret"] == "generate"
    assert project.secret not in json.dumps(kept)
