"""cruft creates the same projects as Cookiecutter, and updates them without touching the secret."""

import json
import re
import sys
import tomllib
from difflib import SequenceMatcher
from pathlib import Path

import pytest

from tests.rendering import (
    PROJECT,
    ROOT,
    SECRET_FILES,
    TEMPLATE,
    Machine,
    RenderedProject,
    cannot_run,
    copy_template,
)

CRUFT = (sys.executable, "-m", "cruft")
COMBINATIONS = [
    {},
    {"database": "postgresql", "token_verification": "jwks", "frontend": "none"},
]


@pytest.fixture
def history(machine: Machine) -> Path:
    """A clone of this repository. Its newest commit has the working tree."""
    # In CI, another user may own the clone, which git then refuses to read.
    machine.git(machine.root, "config --global safe.directory *")
    shallow = "rev-parse --is-shallow-repository"
    if not (ROOT / ".git").exists() or machine.git(ROOT, shallow) == "true":
        cannot_run("the template's history is not here: clone it whole, or git fetch --unshallow")
    folder = machine.root / "template"
    done = machine.run("git", "clone", "--quiet", ROOT, folder)
    assert done.returncode == 0, done.stderr
    copy_template(folder)
    machine.git(folder, "add --all", "commit --quiet --allow-empty --message=now", "tag now")
    return folder


def earlier(machine: Machine, history: Path, since: str) -> str:
    """Return the newest release, the one before, or the first commit if there is no release."""
    paths = f"-- {' '.join(TEMPLATE)}"
    if since == "the last change":
        changes = machine.git(history, f"log --first-parent --format=%H {paths}").split()
        return changes[:2][-1]
    # If the working tree is a release, update from the one before.
    before_it = "--merged=now --no-contains=now~1"
    if releases := machine.git(history, f"tag --sort=-version:refname {before_it} v*").split():
        return releases[0]
    return machine.git(history, f"log --diff-filter=A --format=%H -- {TEMPLATE[0]}").split()[-1]


def create(
    machine: Machine, template: Path, into: Path | None = None, **answers: str
) -> RenderedProject:
    into = into or machine.output
    options = ("--no-input", "--output-dir", into, "--extra-context", json.dumps(answers))
    done = machine.run(*CRUFT, "create", template, *options)
    assert done.returncode == 0, done.stderr
    return RenderedProject(into / "task-service", done.stdout + done.stderr)


def update(machine: Machine, project: RenderedProject, *options: str) -> None:
    done = machine.run(*CRUFT, "update", "--skip-apply-ask", *options, cwd=project.path)
    assert done.returncode == 0, done.stderr
    assert "as clean as possible" in done.stdout


def contents(project: RenderedProject) -> dict[Path, bytes]:
    return {file: (project.path / file).read_bytes() for file in project.files}


def with_a_line_of_mine(old: bytes, new: bytes, line: bytes, above: str = "") -> list[bytes]:
    """Return both texts with the line added where they agree most; none if they differ too much."""
    texts = old.splitlines(keepends=True), new.splitlines(keepends=True)
    places = [
        (min(at, size - at), i + at, j + at)
        for i, j, size in SequenceMatcher(None, *texts, autojunk=False).get_matching_blocks()
        for at in range(1, size)
        if re.match(above.encode(), texts[0][i + at])
    ]
    margin, *at = max(places, default=(0,))
    if margin < 4:
        return []
    return [b"".join([*text[:i], line, *text[i:]]) for text, i in zip(texts, at, strict=True)]


@pytest.mark.parametrize("answers", COMBINATIONS, ids=["default", "other"])
@pytest.mark.parametrize("since", ["the newest release", "the last change"])
def test_update_from_an_earlier_version_keeps_every_edit(
    machine: Machine, history: Path, since: str, answers: dict[str, str]
) -> None:
    machine.git(history, f"reset --quiet --hard {earlier(machine, history, since)}")
    project = create(machine, history, **answers)
    machine.git(project.path, "init --quiet", "add --all", "commit --quiet --message=first")
    machine.git(history, "reset --quiet --hard now")
    wanted = contents(create(machine, history, machine.root / "fresh", **answers))

    before = contents(project)
    settings = {file: before.pop(file) for file in SECRET_FILES if file in before}
    del before[Path(".cruft.json")]
    deleted, *kept = sorted(before.keys() & wanted.keys())
    (project.path / deleted).unlink()
    for file in kept:
        line, above = b"# mine\n", ""
        if file == Path("pyproject.toml"):
            line, above = b'    "mine>=1",\n', r'    "\w.*>='
        if edited := with_a_line_of_mine(before[file], wanted[file], line, above):
            mine, wanted[file] = edited
            (project.path / file).write_bytes(mine)
    (project.path / "app/mine.py").write_bytes(b"MINE = 1\n")
    machine.git(project.path, "add --all", "commit --quiet --message=mine")
    update(machine, project)

    del wanted[deleted]
    assert contents(project) == wanted | settings | {Path("app/mine.py"): b"MINE = 1\n"}


def test_project_rendered_by_cookiecutter_can_be_linked_and_updated(
    machine: Machine, history: Path
) -> None:
    answers = COMBINATIONS[1]
    old = earlier(machine, history, "the newest release")
    machine.git(history, f"reset --quiet --hard {old}")
    project = machine.render(template=history, **answers)
    machine.git(history, "reset --quiet --hard now")
    fresh = contents(create(machine, history, machine.root / "fresh", **answers))
    settings = {Path(".env"): (project.path / ".env").read_bytes()}

    given = ("--checkout", old, "--no-input", "--extra-context", json.dumps(answers))
    done = machine.run(*CRUFT, "link", history, *given, cwd=project.path)
    assert done.returncode == 0, done.stderr
    machine.git(project.path, "init --quiet", "add --all", "commit --quiet --message=linked")
    update(machine, project)

    assert contents(project) == fresh | settings


def test_cruft_and_cookiecutter_render_the_same_project(machine: Machine, template: Path) -> None:
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
def test_update_adds_changes_and_keeps_the_secret(
    machine: Machine, template: Path, origin: str
) -> None:
    project = create(machine, template, better_auth_secret="generate")
    machine.git(project.path, "init --quiet", "add --all", "commit --quiet --message=mine")
    secret = project.secret
    settings = {file: (project.path / file).read_bytes() for file in SECRET_FILES}

    source = template / PROJECT.name
    (source / "README.md").write_text((source / "README.md").read_text() + "\nA new paragraph.\n")
    (source / "app/new.py").write_text('"""{{ cookiecutter.database }}"""\n')
    hook = template / "hooks/post_gen_project.py"
    hook.write_text(hook.read_text().replace("localhost:3000", "localhost:3999"))
    questions = template / "cookiecutter.json"
    questions.write_text(questions.read_text().replace("tasks.db", "renamed.db"))
    machine.git(template, "add --all", "commit --quiet --message=new")
    answers = json.dumps({"better_auth_secret": origin})
    update(machine, project, "--variables-to-update", answers)

    assert (project.path / "README.md").read_text().endswith("\nA new paragraph.\n")
    assert (project.path / "app/new.py").read_text() == '"""sqlite"""\n'
    assert "renamed.db" in (project.path / ".env.example").read_text()
    assert [file for file in project.files if file.suffix == ".rej"] == []
    assert {file: (project.path / file).read_bytes() for file in SECRET_FILES} == settings
    assert machine.files_holding(secret) == [project.path / file for file in SECRET_FILES]
    assert [path for path in machine.temporary.rglob("*") if path.name.startswith(".env")] == []


def test_cruft_stores_only_answers_to_questions(machine: Machine, template: Path) -> None:
    project = create(machine, template)

    kept = json.loads((project.path / ".cruft.json").read_text())["context"]["cookiecutter"]
    assert kept["better_auth_secret"] == "generate"
    assert project.secret not in json.dumps(kept)


# Releases


def test_version_matches_the_newest_release() -> None:
    headings = re.findall(r"(?m)^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text())
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert headings.pop(0) == "Unreleased"
    # As long as there is no release.
    assert pyproject["project"]["version"] == [*headings, "0.0.0"][0]


def test_each_version_tag_is_in_the_changelog(machine: Machine, history: Path) -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()

    for tag in machine.git(history, "tag --list v*").split():
        assert f"## [{tag.removeprefix('v')}]" in changelog
