"""The secret ends up in its two files and nowhere else, whatever way Cookiecutter runs."""

from pathlib import Path

import pytest

from tests.rendering import COOKIECUTTER, ROOT, SECRET_FILES, Machine, RenderedProject
from tests.terminal import Terminal

SECRET = "Zm9ydHktdHdvIGNoYXJhY3RlcnMgb2YgYmFzZTY0ISE="
OTHER_SECRET = "q8/T+vX0s3lB5y1nJ7wKcR2uH9dFgEaMzPpLoIiUu4Y="
SHORT_SECRET = "only-twenty-nine-characters-x"


def secret_files_of(project: RenderedProject) -> list[Path]:
    return [project.path / file for file in SECRET_FILES if (project.path / file).exists()]


def test_each_project_gets_its_own_secret(machine: Machine) -> None:
    one = machine.render(project_slug="one")
    two = machine.render(project_slug="two")

    assert len(one.secret) >= 32
    assert one.secret != two.secret


@pytest.mark.parametrize(
    ("token_verification", "frontend", "holders"),
    [
        ("shared-secret", "nextjs", [".env", "frontend/.env.local"]),
        ("shared-secret", "none", [".env"]),
        ("jwks", "nextjs", ["frontend/.env.local"]),
        ("jwks", "none", []),
    ],
)
@pytest.mark.parametrize("origin", ["generate", "provide"])
def test_secret_is_only_in_its_files(
    machine: Machine, token_verification: str, frontend: str, holders: list[str], origin: str
) -> None:
    project = machine.render(
        token_verification=token_verification,
        frontend=frontend,
        better_auth_secret=origin,
        env={"BETTER_AUTH_SECRET": SECRET},
    )
    secret = project.secret if origin == "generate" and holders else SECRET

    assert machine.files_holding(secret) == [project.path / file for file in holders]
    assert secret not in project.printed


def test_secret_is_not_committed_to_git(machine: Machine) -> None:
    project = machine.render()

    machine.git(project.path, "init --quiet", "add --all", "commit --quiet --message=first")

    tracked = machine.git(project.path, "ls-files").splitlines()
    assert "pyproject.toml" in tracked
    assert "frontend/package.json" in tracked
    assert not {str(file) for file in SECRET_FILES} & set(tracked)
    found = machine.run("git", "grep", "--cached", "-F", "-e", project.secret, cwd=project.path)
    assert found.returncode == 1, found.stdout


# A second run


@pytest.mark.parametrize("options", [["-f"], ["-f", "-s"], ["-f", "--replay"]], ids=" ".join)
@pytest.mark.parametrize("lost", [None, *SECRET_FILES], ids=str)
def test_second_run_keeps_the_secret(
    machine: Machine, options: list[str], lost: Path | None
) -> None:
    first = machine.render()
    secret = first.secret
    if lost:
        (first.path / lost).unlink()
    with (first.path / ".env").open("a") as file:
        file.write("MINE=1\n")

    second = machine.render(*options)

    assert second.secret == secret
    assert len(secret_files_of(second)) == 2
    assert second.settings(".env")["MINE"] == "1"
    assert machine.files_holding(secret) == secret_files_of(second)


def test_existing_project_is_unchanged_without_force(machine: Machine) -> None:
    project = machine.render()
    before = {file: (project.path / file).stat().st_mtime_ns for file in project.files}

    done = machine.cookiecutter()

    assert done.returncode == 1
    assert "already exists" in done.stderr + done.stdout
    assert {file: (project.path / file).stat().st_mtime_ns for file in project.files} == before


def test_switching_token_verification_keeps_the_secret(machine: Machine) -> None:
    secret = machine.render(token_verification="shared-secret").secret

    project = machine.render("-f", token_verification="jwks")
    assert machine.files_holding(secret) == [project.path / "frontend/.env.local"]

    project = machine.render("-f", token_verification="shared-secret")
    assert machine.files_holding(secret) == secret_files_of(project)


# Refusals


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"project_slug": "Bad Slug"}, "project_slug 'Bad Slug' refused: only a-z"),
        ({"project_slug": "../x"}, "project_slug '../x' refused: only a-z"),
        ({"project_slug": "9x"}, "project_slug '9x' refused: only a-z"),
        ({"project_slug": "fastapi"}, "project_slug 'fastapi' refused: the project depends on"),
        ({"project_name": "a\nb"}, r"project_name 'a\nb' refused: one line"),
        ({"database": "other"}, "other provided for choice variable database"),
    ],
)
def test_refused_answer_creates_no_files(
    machine: Machine, answers: dict[str, str], said: str
) -> None:
    done = machine.cookiecutter(**{"project_slug": "task-service"} | answers)

    assert done.returncode == 1
    assert said in done.stderr
    assert list(machine.output.iterdir()) == []
    assert {path.name for path in machine.root.iterdir()} == {"home", "output", "tmp"}


def test_empty_slug_changes_no_files(machine: Machine) -> None:
    (machine.output / "mine").touch()

    for options in ([], ["-f"]):
        assert machine.cookiecutter(*options, project_slug="").returncode == 1

    assert [path.name for path in machine.output.iterdir()] == ["mine"]


def test_refused_secret_is_in_no_file_or_message(machine: Machine) -> None:
    done = machine.cookiecutter(
        better_auth_secret="provide", env={"BETTER_AUTH_SECRET": SHORT_SECRET}
    )

    assert done.returncode == 1
    assert "BETTER_AUTH_SECRET refused: at least 32 characters" in done.stderr
    assert SHORT_SECRET not in done.stdout + done.stderr
    assert machine.files_holding(SHORT_SECRET) == []
    assert list(machine.output.iterdir()) == []


def test_refused_secret_leaves_settings_of_an_existing_project_unchanged(machine: Machine) -> None:
    project = machine.render()
    for file in secret_files_of(project):
        file.write_text("BETTER_AUTH_SECRET=\nMINE=1\n")

    done = machine.cookiecutter(
        "-f", better_auth_secret="provide", env={"BETTER_AUTH_SECRET": SHORT_SECRET}
    )

    assert done.returncode == 1
    assert [file.read_text() for file in secret_files_of(project)] == [
        "BETTER_AUTH_SECRET=\nMINE=1\n"
    ] * 2


def test_unreadable_settings_file_is_refused_before_any_file_changes(
    machine: Machine,
) -> None:
    project = machine.render()
    (project.path / ".env").write_text(f"BETTER_AUTH_SECRET={SECRET}\n", "utf-16")
    before = {file: (project.path / file).stat().st_mtime_ns for file in project.files}

    done = machine.cookiecutter("-f", database="postgresql")

    assert done.returncode == 1
    assert ".env refused: it is UTF-16; save it as UTF-8" in done.stderr.splitlines()[0]
    assert {file: (project.path / file).stat().st_mtime_ns for file in project.files} == before


# A terminal


def on_a_terminal(
    machine: Machine, command: list[str], dialogue: list[tuple[str, str]]
) -> tuple[int, str]:
    """Run the command on a new terminal, and send each reply after its question."""
    terminal = Terminal(command, machine.output, machine.environment)
    for question, reply in dialogue:
        terminal.wait_for(question)
        terminal.type(reply)
    return terminal.end(), terminal.seen


def test_typed_secret_is_not_echoed(machine: Machine) -> None:
    dialogue = [
        ("[1/8]", "My Tasks"),
        ("[2/8]", ""),
        ("[3/8]", "Mine."),
        ("[4/8]", "2"),
        ("[5/8]", ""),
        ("[6/8]", "2"),
        ("[7/8]", ""),
        ("[8/8]", ""),
        ("BETTER_AUTH_SECRET (not shown)", SECRET),
    ]

    status, seen = on_a_terminal(machine, [*COOKIECUTTER, str(ROOT)], dialogue)

    project = RenderedProject(machine.output / "my-tasks")
    assert status == 0, seen
    assert project.secret == SECRET
    assert SECRET not in seen
    assert machine.files_holding(SECRET) == secret_files_of(project)


@pytest.mark.parametrize(
    ("typed", "said"), [(SHORT_SECRET, "at least 32 characters"), ("\x04", "no secret was entered")]
)
def test_refused_typed_secret_is_not_echoed(machine: Machine, typed: str, said: str) -> None:
    command = [*COOKIECUTTER, str(ROOT), "--no-input", "better_auth_secret=provide"]

    status, seen = on_a_terminal(machine, command, [("BETTER_AUTH_SECRET (not shown)", typed)])

    assert status == 1
    assert f"BETTER_AUTH_SECRET refused: {said}" in seen
    assert SHORT_SECRET not in seen
    assert machine.files_holding(SHORT_SECRET) == []
    assert list(machine.output.iterdir()) == []


def test_existing_secret_is_not_asked_for_again(machine: Machine) -> None:
    secret = machine.render().secret
    command = [*COOKIECUTTER, str(ROOT), "--no-input", "-f", "better_auth_secret=provide"]

    status, seen = on_a_terminal(machine, command, [])

    assert status == 0
    assert "(not shown)" not in seen
    assert RenderedProject(machine.output / "task-service").secret == secret
