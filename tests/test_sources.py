"""All sources of the template render the same project, with LF line endings."""

from pathlib import Path

import pytest

from tests.rendering import SECRET_FILES, Machine, RenderedProject


def contents(project: RenderedProject) -> dict[Path, bytes]:
    """Return all files except those with the secret, which differs in each project."""
    files = set(project.files) - set(SECRET_FILES)
    return {file: (project.path / file).read_bytes() for file in files}


def zip_download(machine: Machine, template: Path) -> Path:
    machine.git(template, "archive --prefix=template-main/ --output=../main.zip HEAD")
    return machine.root / "main.zip"


def folder_with_spaces(machine: Machine, template: Path) -> Path:
    return template.rename(machine.root / "a clone of mine")


def git_with_autocrlf(machine: Machine, template: Path) -> str:
    machine.git(template, "config --global core.autocrlf true")
    return f"git+{template.as_uri()}"


@pytest.mark.parametrize("source", [zip_download, folder_with_spaces, git_with_autocrlf])
def test_zip_path_with_spaces_and_crlf_clone_render_the_same_project(
    source, machine: Machine, template: Path
) -> None:
    here = contents(machine.render())
    machine.output = machine.root / "elsewhere"
    machine.output.mkdir()

    there = contents(machine.render(template=source(machine, template)))

    assert there == here
    assert [file for file, text in there.items() if b"\r\n" in text] == []


def test_foreign_environment_variables_do_not_affect_rendering(machine: Machine) -> None:
    names = {"project_name": "名前 🎉", "project_slug": "task-service"}
    here = contents(machine.render(**names))
    machine.output = machine.root / "elsewhere"
    temporary = machine.root / "a temporary folder"
    for folder in (machine.output, temporary):
        folder.mkdir()
    (temporary / "json.py").write_text("raise SystemExit('left by another user')")
    foreign = {
        "HOST": "x86_64-conda-linux-gnu",
        "LC_ALL": "xx_XX.UTF-8",
        "NAME": "laptop",
        "PYTHONIOENCODING": "ascii",
        "TMPDIR": str(temporary),
        "VIRTUAL_ENV": "/nonexistent",
        "DATABASE_URL": "postgresql://host/other",
        "BETTER_AUTH_SECRET": "short",
    }

    there = machine.render(env=foreign, **names)

    assert contents(there) == here
    assert there.settings(".env")["DATABASE_URL"] == "sqlite:///tasks.db"


def test_line_endings_survive_a_clone_with_autocrlf(machine: Machine) -> None:
    project = machine.render()
    machine.git(project.path, "init --quiet", "add --all", "commit --quiet --message=first")
    machine.git(machine.output, "clone --quiet --config core.autocrlf=true task-service clone")

    assert contents(RenderedProject(machine.output / "clone")) == contents(project)
