"""Unit tests of the hooks: what they refuse, keep, write and remove, without Cookiecutter."""

import errno
import io
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.rendering import PROJECT, ROOT, SECRET_FILES, clean_environment, hook

GOOD_SECRET = "Zm9ydHktdHdvIGNoYXJhY3RlcnMgb2YgYmFzZTY0ISE="
OTHER_SECRET = "q8/T+vX0s3lB5y1nJ7wKcR2uH9dFgEaMzPpLoIiUu4Y="
SHORT_SECRET = GOOD_SECRET[:31]
SERVICE_ENV, FRONTEND_ENV = SECRET_FILES


VARIABLES = json.loads((ROOT / "cookiecutter.json").read_text())
CHOICES = {
    name: offered
    for name, offered in VARIABLES.items()
    if isinstance(offered, list) and not name.startswith("_")
}

pre_gen = hook("pre_gen_project")
post_gen = hook("post_gen_project")


def answers(**changes: str) -> dict[str, str]:
    defaults = {name: offered[0] for name, offered in CHOICES.items()} | {
        "project_name": "Task Service",
        "project_slug": "task-service",
        "description": "Tasks.",
        "_packages": VARIABLES["_packages"],
        "__database_url": "sqlite:///tasks.db",
    }
    return defaults | changes


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A minimal project with a frontend; no secret in the environment, and no terminal."""
    (tmp_path / "frontend").mkdir()
    (tmp_path / "app").mkdir()
    (tmp_path / "app/__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BETTER_AUTH_SECRET", raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return tmp_path


def settings(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


# Answers


@pytest.mark.parametrize("slug", ["a", "x1", "task-service", "a--b", "z" * 63])
def test_valid_slug_is_accepted(slug: str) -> None:
    assert pre_gen.refusals(answers(project_slug=slug)) == []


@pytest.mark.parametrize(
    "slug", ["", "../x", "/x", "x/y", ".", "Bad Slug", "9x", "-x", "x-", "x_y", "X", "é", "x\n"]
)
def test_invalid_slug_is_refused_with_rule_and_value(slug: str) -> None:
    [line] = pre_gen.refusals(answers(project_slug=slug))

    assert line.startswith(f"project_slug {slug!r} refused: only a-z, 0-9 and hyphens")
    assert "\n" not in line


@pytest.mark.parametrize("slug", ["z" * 64, "task-service-" * 10 + "x"])
def test_slug_too_long_for_kubernetes_is_refused(slug: str) -> None:
    assert pre_gen.refusals(answers(project_slug=slug)) == [
        f"project_slug {slug[:80]!r} refused: at most 63 characters"
    ]


@pytest.mark.parametrize("slug", ["fastapi", "starlette", "uuid-utils", "uuid--utils", "mako"])
def test_name_of_a_package_that_the_project_installs_is_refused(slug: str) -> None:
    assert pre_gen.refusals(answers(project_slug=slug)) == [
        f"project_slug {slug!r} refused: the project depends on a package of that name"
    ]


@pytest.mark.parametrize(
    "text",
    ['Ann\'s "own"', "back\\slash", "tab-less", "👩‍💻 Tasks 🎉", "名前", "x" * 100, "{name}", "#"],
)
@pytest.mark.parametrize("field", ["project_name", "description"])
def test_valid_text_is_accepted(field: str, text: str) -> None:
    assert pre_gen.refusals(answers(**{field: text})) == []


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("two\nlines", "one line, no control characters"),
        ("a\rb", "one line, no control characters"),
        ("a\tb", "one line, no control characters"),
        ("a\0b", "one line, no control characters"),
        ("a\x1bb", "one line, no control characters"),
        ("a\u2028b", "one line, no control characters"),
        ("a\ud800b", "one line, no control characters"),
        ("x" * 501, "at most"),
        ("{{ 7 * 7 }}", "no brace before"),
        ("{% raw %}", "no brace before"),
        ("{# note #}", "no brace before"),
    ],
)
@pytest.mark.parametrize("field", ["project_name", "description"])
def test_invalid_text_is_refused_with_rule_and_value(field: str, text: str, rule: str) -> None:
    [line] = pre_gen.refusals(answers(**{field: text}))

    assert line.startswith(f"{field} {text[:80]!r} refused: {rule}")
    assert "\n" not in line


@pytest.mark.parametrize("name", ["", "   "])
def test_blank_project_name_is_refused(name: str) -> None:
    assert pre_gen.refusals(answers(project_name=name)) == [
        f"project_name {name!r} refused: must not be empty"
    ]


def test_empty_description_is_accepted() -> None:
    assert pre_gen.refusals(answers(description="")) == []


@pytest.mark.parametrize("question", CHOICES)
def test_unknown_choice_is_refused(question: str) -> None:
    assert pre_gen.refusals(answers(**{question: "other"})) == [
        f"{question} 'other' refused: one of {', '.join(CHOICES[question])}"
    ]


def test_answer_that_would_delete_an_existing_frontend_is_refused(project: Path) -> None:
    [line] = pre_gen.refusals(answers(frontend="none"))

    assert line.startswith("frontend 'none' refused: this would delete the existing frontend/")


def test_all_broken_rules_are_reported_at_once() -> None:
    assert len(pre_gen.refusals(answers(project_name="", project_slug="X", database="other"))) == 3


# Versions of Cookiecutter and Python


@pytest.mark.parametrize("found", ["1.7.3", "2.1.1", "2.2.3", "2"])
def test_old_cookiecutter_is_refused_naming_both_versions(
    monkeypatch: pytest.MonkeyPatch, found: str
) -> None:
    monkeypatch.setattr(pre_gen, "version", {"cookiecutter": found}.get)

    [line] = pre_gen.refused_version()

    assert line.startswith(f"Cookiecutter {found} is too old: this template needs 2.3 or later.")


@pytest.mark.parametrize("found", ["2.3.0", "2.7.1", "2.10.0", "3.0.0rc1", "3"])
def test_supported_cookiecutter_is_accepted(monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    monkeypatch.setattr(pre_gen, "version", {"cookiecutter": found}.get)

    assert pre_gen.refused_version() == []


def test_cookiecutter_without_metadata_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])

    assert pre_gen.refused_version() == []


def test_old_cookiecutter_is_the_only_reported_problem_even_with_invalid_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pre_gen, "version", {"cookiecutter": "1.7.3"}.get)

    with pytest.raises(SystemExit, match=r"^Cookiecutter 1\.7\.3 is too old.*$"):
        pre_gen.main(answers(project_slug="X", database="other"))


@pytest.mark.parametrize("name", ["pre_gen_project", "post_gen_project"])
def test_hook_imports_nothing_from_its_own_folder(tmp_path: Path, name: str) -> None:
    without_main, _, _ = Path(ROOT, "hooks", f"{name}.py").read_text().partition("if __name__")
    (tmp_path / "hook.py").write_text(without_main)
    for module in ("getpass", "json", "pathlib", "re", "secrets", "tempfile", "unicodedata"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('left by another user')")

    done = subprocess.run([sys.executable, tmp_path / "hook.py"], env=clean_environment())

    assert done.returncode == 0


# Settings files of an existing project


@pytest.mark.parametrize(
    "line",
    [
        f"BETTER_AUTH_SECRET={GOOD_SECRET}",
        f"  export BETTER_AUTH_SECRET = {GOOD_SECRET}\r",
        f"\ufeffBETTER_AUTH_SECRET='{GOOD_SECRET}#'",
        f'BETTER_AUTH_SECRET="{GOOD_SECRET} # \'"  # ours',
        "BETTER_AUTH_SECRET=",
        "BETTER_AUTH_SECRET= # not yet",
        "# BETTER_AUTH_SECRET=$HOME",
        "MINE=$HOME # `x`",
        "DATABASE_URL=postgresql://ann:p%24@host/name?sslmode=require",
    ],
)
@pytest.mark.parametrize("file", SECRET_FILES)
def test_settings_that_all_programs_read_the_same_are_accepted(
    project: Path, file: Path, line: str
) -> None:
    file.write_bytes(f"{line}\nMORE=$1".encode())

    assert pre_gen.refused_settings() == []


@pytest.mark.parametrize("name", ["BETTER_AUTH_SECRET", "DATABASE_URL"])
@pytest.mark.parametrize(
    "value",
    ["a$b", "'a$b'", '"a$b"', "a`b", "'a`b'", "a#b", "#a", '"a"b', "'a\\b'", "'a'#b", "'a"],
)
@pytest.mark.parametrize("start", ["", "export ", "MINE=1\n  ", "\ufeff", "X=1\r\n"])
def test_settings_that_programs_read_differently_are_refused_without_showing_the_value(
    project: Path, name: str, value: str, start: str
) -> None:
    FRONTEND_ENV.write_bytes(f"{start}{name}={value}\r\n".encode())

    [line] = pre_gen.refused_settings()

    assert line.startswith(f"{name} in {FRONTEND_ENV} refused: use no $ or backtick")
    assert value not in line


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("text", ["BETTER_AUTH_SECRET=x", ""])
def test_settings_file_in_utf_16_is_refused(project: Path, encoding: str, text: str) -> None:
    SERVICE_ENV.write_bytes(text.encode(encoding))

    refused = pre_gen.refused_settings()

    expected = f"{SERVICE_ENV} refused: it is UTF-16; save it as UTF-8"
    assert refused == ([expected] if SERVICE_ENV.stat().st_size else [])


def test_unreadable_settings_file_is_refused_with_the_reason(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SERVICE_ENV.mkdir()
    FRONTEND_ENV.symlink_to(FRONTEND_ENV.name)

    assert pre_gen.refused_settings() == [
        f"{SERVICE_ENV} cannot be read: Is a directory",
        f"{FRONTEND_ENV} cannot be read: Too many levels of symbolic links",
    ]


# Unused files


@pytest.mark.parametrize(
    "name",
    [name for files in post_gen.UNUSED.values() for names in files.values() for name in names],
)
def test_unused_files_exist_in_the_template(name: str) -> None:
    assert (PROJECT / name).exists()


def test_unused_files_and_emptied_folders_are_removed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        post_gen,
        "UNUSED",
        {"database": {"sqlite": ["a/b/only.py", "c/one.py"]}, "frontend": {"none": ["d"]}},
    )
    for name in ["a/b/only.py", "c/one.py", "c/two.py", "d/e/three.py"]:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).touch()

    post_gen.delete_unused(answers(project_name="none", frontend="nextjs"))
    assert not (project / "a").exists()
    assert (project / "d").exists()
    assert [path.name for path in (project / "c").iterdir()] == ["two.py"]

    post_gen.delete_unused(answers(frontend="none"))
    assert not (project / "d").exists()


# Secrets that are provided


@pytest.mark.parametrize(
    "secret", [GOOD_SECRET, OTHER_SECRET, "abc" * 11, "correct-horse-battery-staple-0123456789"]
)
def test_valid_secret_is_accepted(
    project: Path, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("BETTER_AUTH_SECRET", secret)

    post_gen.write_settings(answers(better_auth_secret="provide"))

    assert settings(SERVICE_ENV)["BETTER_AUTH_SECRET"] == secret
    assert settings(FRONTEND_ENV)["BETTER_AUTH_SECRET"] == secret


@pytest.mark.parametrize(
    ("secret", "rule"),
    [
        (SHORT_SECRET, "at least 32 characters"),
        ("a" * 40, "more than two different characters"),
        ("ab" * 20, "more than two different characters"),
        ("better-auth-secret-12345678901234567890", "not a placeholder"),
        ("change-me-change-me-change-me-change-me", "not a placeholder"),
        ("CHANGE_ME_to_something_longer_than_this", "not a placeholder"),
        ("replace-me-with-32-random-characters", "not a placeholder"),
        ("your-secret-key-of-at-least-32-characters", "not a placeholder"),
        (f"{GOOD_SECRET}\nX=1", "printable ASCII only"),
        (f"{GOOD_SECRET}\0", "printable ASCII only"),
        (f"{GOOD_SECRET}é", "printable ASCII only"),
        *((f"{GOOD_SECRET}{char}", "no blank, quote") for char in " '\"`#$\\"),
    ],
)
def test_invalid_secret_is_refused_with_rule_but_without_value(
    project: Path, monkeypatch: pytest.MonkeyPatch, secret: str, rule: str
) -> None:
    monkeypatch.setattr(os, "environ", {"BETTER_AUTH_SECRET": secret})

    with pytest.raises(SystemExit, match=f"^BETTER_AUTH_SECRET refused: {rule}") as refusal:
        post_gen.write_settings(answers(better_auth_secret="provide"))

    assert secret not in str(refusal.value)
    assert not any(path.exists() for path in SECRET_FILES)


def test_refused_secret_leaves_existing_settings_unchanged(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = "BETTER_AUTH_SECRET=\nMINE=1"
    SERVICE_ENV.write_text(before)
    monkeypatch.setenv("BETTER_AUTH_SECRET", SHORT_SECRET)

    with pytest.raises(SystemExit):
        post_gen.write_settings(answers(better_auth_secret="provide"))

    assert SERVICE_ENV.read_text() == before


def test_secret_is_empty_without_environment_variable_and_terminal(project: Path) -> None:
    assert post_gen.write_settings(answers(better_auth_secret="provide")) == ""

    assert settings(SERVICE_ENV)["BETTER_AUTH_SECRET"] == ""
    assert settings(FRONTEND_ENV)["BETTER_AUTH_SECRET"] == ""


def test_unneeded_secret_is_not_asked_for(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BETTER_AUTH_SECRET", SHORT_SECRET)

    notice = post_gen.write_settings(
        answers(token_verification="jwks", frontend="none", better_auth_secret="provide")
    )

    assert notice == ""
    assert "BETTER_AUTH_SECRET" not in SERVICE_ENV.read_text()
    assert not FRONTEND_ENV.exists()


def test_cruft_update_does_not_ask_for_a_secret(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(project.parent.parent))
    monkeypatch.setenv("BETTER_AUTH_SECRET", SHORT_SECRET)

    post_gen.write_settings(answers(better_auth_secret="provide", _commit="0" * 40))

    assert settings(SERVICE_ENV)["BETTER_AUTH_SECRET"] == ""


@pytest.mark.parametrize(
    ("folders_above", "by_cruft"),
    [(2, {}), (3, {"_commit": "0" * 40})],
    ids=["cookiecutter", "cruft"],
)
def test_new_project_is_never_mistaken_for_a_cruft_update(
    project: Path, monkeypatch: pytest.MonkeyPatch, folders_above: int, by_cruft: dict[str, str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(project.parents[folders_above - 1]))
    monkeypatch.setenv("BETTER_AUTH_SECRET", SHORT_SECRET)

    with pytest.raises(SystemExit):
        post_gen.write_settings(answers(better_auth_secret="provide", **by_cruft))


# Settings


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_settings_files_have_mode_0600(project: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        post_gen.write_settings(answers())
    finally:
        os.umask(before)

    assert [stat.S_IMODE(path.stat().st_mode) for path in SECRET_FILES] == [0o600, 0o600]


def test_secret_is_unreadable_for_others_while_it_is_written(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []
    write_bytes = Path.write_bytes

    def watched(path: Path, data: bytes) -> int:
        modes.append(stat.S_IMODE(path.stat().st_mode))
        return write_bytes(path, data)

    monkeypatch.setattr(Path, "write_bytes", watched)
    post_gen.write_settings(answers())

    assert modes == [0o600, 0o600]


def test_failed_write_keeps_old_settings_and_leaves_no_temporary_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SERVICE_ENV.write_text("MINE=1\n")
    before = sorted(project.rglob("*"))

    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SystemExit, match=r"^\.env cannot be written: No space left on device$"):
        post_gen.write_settings(answers())

    assert SERVICE_ENV.read_text() == "MINE=1\n"
    assert sorted(project.rglob("*")) == before


def test_symlink_is_replaced_and_its_target_left_unchanged(project: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(f"BETTER_AUTH_SECRET={GOOD_SECRET}\n")
    SERVICE_ENV.symlink_to(elsewhere)

    post_gen.write_settings(answers())

    assert elsewhere.read_text() == f"BETTER_AUTH_SECRET={GOOD_SECRET}\n"
    assert settings(SERVICE_ENV)["BETTER_AUTH_SECRET"] == GOOD_SECRET


def test_second_run_changes_nothing(project: Path) -> None:
    post_gen.write_settings(answers())
    before = [path.read_text() for path in SECRET_FILES]

    assert post_gen.write_settings(answers()) == ""

    assert [path.read_text() for path in SECRET_FILES] == before


def test_missing_settings_are_added_and_existing_bytes_kept(project: Path) -> None:
    mine = b"# caf\xe9\r\nexport JWT_AUDIENCE=mine\r\nCORS_ORIGINS=\nMINE='a # b'"
    SERVICE_ENV.write_bytes(mine)

    post_gen.write_settings(answers())

    text = SERVICE_ENV.read_bytes()
    assert text.startswith(mine + b"\n")
    added = dict(line.split("=", 1) for line in text[len(mine) + 1 :].decode().splitlines())
    assert added.keys() == {"BETTER_AUTH_URL", "DATABASE_URL", "BETTER_AUTH_SECRET"}


def test_settings_after_a_byte_order_mark_are_read_and_the_mark_is_kept(project: Path) -> None:
    mine = f"\ufeffBETTER_AUTH_SECRET={GOOD_SECRET}\n".encode()
    SERVICE_ENV.write_bytes(mine)

    post_gen.write_settings(answers())

    assert SERVICE_ENV.read_bytes().startswith(mine)
    assert SERVICE_ENV.read_bytes().count(b"BETTER_AUTH_SECRET") == 1
    assert settings(FRONTEND_ENV)["BETTER_AUTH_SECRET"] == GOOD_SECRET


def test_comment_after_the_secret_is_not_part_of_it(project: Path) -> None:
    SERVICE_ENV.write_text(f"BETTER_AUTH_SECRET={GOOD_SECRET}  # ours\n")

    post_gen.write_settings(answers())

    assert settings(FRONTEND_ENV)["BETTER_AUTH_SECRET"] == GOOD_SECRET
    assert post_gen.write_settings(answers()) == ""


@pytest.mark.parametrize("lost", SECRET_FILES)
def test_lost_file_is_restored_with_the_secret_of_the_other(project: Path, lost: Path) -> None:
    post_gen.write_settings(answers())
    secret = settings(lost)["BETTER_AUTH_SECRET"]
    lost.unlink()

    assert post_gen.write_settings(answers()) == ""

    assert settings(lost)["BETTER_AUTH_SECRET"] == secret


@pytest.mark.parametrize("empty", ["", '""', "''", "\r"])
def test_empty_secret_is_filled_in(project: Path, empty: str) -> None:
    SERVICE_ENV.write_bytes(f"BETTER_AUTH_SECRET={empty}\nMINE=1\n".encode())

    post_gen.write_settings(answers())

    secret = settings(FRONTEND_ENV)["BETTER_AUTH_SECRET"]
    assert len(secret) >= 32
    assert settings(SERVICE_ENV)["BETTER_AUTH_SECRET"] == secret
    assert SERVICE_ENV.read_text().count("BETTER_AUTH_SECRET") == 1


@pytest.mark.parametrize("kept", ["short", '"with a blank and #"', "change-me"])
def test_existing_secret_is_kept_even_if_it_breaks_rules(project: Path, kept: str) -> None:
    SERVICE_ENV.write_text(f"BETTER_AUTH_SECRET={kept}\n")

    assert post_gen.write_settings(answers()) == ""

    assert settings(SERVICE_ENV)["BETTER_AUTH_SECRET"] == kept
    assert settings(FRONTEND_ENV)["BETTER_AUTH_SECRET"] == kept


@pytest.mark.parametrize(("given", "said"), [(OTHER_SECRET, True), (GOOD_SECRET, False)])
def test_existing_secret_is_kept_if_another_one_is_provided(
    project: Path, monkeypatch: pytest.MonkeyPatch, given: str, said: bool
) -> None:
    SERVICE_ENV.write_text(f"BETTER_AUTH_SECRET={GOOD_SECRET}\n")
    monkeypatch.setenv("BETTER_AUTH_SECRET", given)

    notice = post_gen.write_settings(answers(better_auth_secret="provide"))

    assert ("was kept" in notice) is said
    assert settings(SERVICE_ENV)["BETTER_AUTH_SECRET"] == GOOD_SECRET


def test_files_with_different_secrets_are_left_unchanged(project: Path) -> None:
    before = {SERVICE_ENV: GOOD_SECRET, FRONTEND_ENV: OTHER_SECRET}
    for path, secret in before.items():
        path.write_text(f"BETTER_AUTH_SECRET={secret}\n")

    notice = post_gen.write_settings(answers())

    assert notice == ".env and frontend/.env.local hold different secrets; neither was changed"
    assert {path: settings(path)["BETTER_AUTH_SECRET"] for path in SECRET_FILES} == before


def test_switching_to_jwks_moves_the_secret_to_the_frontend(project: Path) -> None:
    post_gen.write_settings(answers())
    secret = settings(SERVICE_ENV)["BETTER_AUTH_SECRET"]
    with SERVICE_ENV.open("a") as file:
        file.write(f"BETTER_AUTH_SECRET_PREVIOUS={OTHER_SECRET}\nMINE=1")
    FRONTEND_ENV.unlink()

    assert post_gen.write_settings(answers(token_verification="jwks")) == ""

    assert "BETTER_AUTH_SECRET" not in SERVICE_ENV.read_text()
    assert settings(SERVICE_ENV)["MINE"] == "1"
    assert settings(FRONTEND_ENV)["BETTER_AUTH_SECRET"] == secret


def test_note_says_that_an_unneeded_secret_was_removed(project: Path) -> None:
    SERVICE_ENV.write_text(f"BETTER_AUTH_SECRET={GOOD_SECRET}\n")

    notice = post_gen.write_settings(answers(token_verification="jwks", frontend="none"))

    assert notice.startswith("BETTER_AUTH_SECRET was removed from .env")
    assert "BETTER_AUTH_SECRET" not in SERVICE_ENV.read_text()


# The database


POSTGRESQL = {
    "database": "postgresql",
    "__database_url": "postgresql://postgres@127.0.0.1:5433/postgres",
}
DEVELOPMENT_URL = re.compile(r"postgresql://postgres@127\.0\.0\.1:(\d+)/postgres")


def database_urls() -> list[str | None]:
    return [settings(path).get("DATABASE_URL") for path in SECRET_FILES]


def test_each_postgresql_project_gets_its_own_port_in_both_files(project: Path) -> None:
    ports = set()
    for _ in range(10):
        post_gen.write_settings(answers(**POSTGRESQL))
        [url] = set(database_urls())
        ports.add(int(DEVELOPMENT_URL.fullmatch(url)[1]))
        for path in SECRET_FILES:
            path.unlink()

    assert len(ports) > 5
    assert ports <= set(range(1024, 32768)) - {5432, 5433}


def test_sqlite_project_does_not_share_its_database_url_with_the_frontend(project: Path) -> None:
    post_gen.write_settings(answers())

    assert database_urls() == ["sqlite:///tasks.db", None]


@pytest.mark.parametrize("lost", SECRET_FILES)
@pytest.mark.parametrize("empty", [True, False])
def test_lost_or_empty_database_url_is_restored_from_the_other_file(
    project: Path, lost: Path, empty: bool
) -> None:
    post_gen.write_settings(answers(**POSTGRESQL))
    before = database_urls()
    lost.write_text("DATABASE_URL= # mine\n") if empty else lost.unlink()

    post_gen.write_settings(answers(**POSTGRESQL))

    assert database_urls() == before


def test_database_url_with_driver_is_copied_to_the_frontend_without_it(
    project: Path,
) -> None:
    earlier = "postgresql+asyncpg://postgres@127.0.0.1:5433/postgres"
    SERVICE_ENV.write_text(f"DATABASE_URL={earlier}\n")

    post_gen.write_settings(answers(**POSTGRESQL))

    assert database_urls() == [earlier, "postgresql://postgres@127.0.0.1:5433/postgres"]


def test_different_database_urls_in_the_two_files_are_both_kept(project: Path) -> None:
    before = ["postgresql://writer@host/tasks", "postgres://auth@host/tasks"]
    for path, url in zip(SECRET_FILES, before, strict=True):
        path.write_text(f"DATABASE_URL={url}\n")

    post_gen.write_settings(answers(**POSTGRESQL))

    assert database_urls() == before


def test_sqlite_url_in_a_postgresql_project_is_not_copied_to_the_frontend(project: Path) -> None:
    SERVICE_ENV.write_text("DATABASE_URL=sqlite:///tasks.db\n")

    post_gen.write_settings(answers(**POSTGRESQL))

    service, frontend = database_urls()
    assert service == "sqlite:///tasks.db"
    assert DEVELOPMENT_URL.fullmatch(frontend)


# Hooks that fail, and hooks that did not run


def test_post_generation_hook_empties_the_module_that_stops_incomplete_projects(
    project: Path,
) -> None:
    module = project / "app/__init__.py"
    module.write_bytes((PROJECT / "app/__init__.py").read_bytes())
    with pytest.raises(SystemExit, match="hooks did not run"):
        exec(module.read_text())

    post_gen.main(answers())

    assert module.read_text() == ""


def test_post_generation_hook_keeps_the_users_own_init_module(project: Path) -> None:
    module = project / "app/__init__.py"
    module.write_text("MINE = 1\n")

    post_gen.main(answers())

    assert module.read_text() == "MINE = 1\n"


# Next steps


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({}, ["make run", "make token", "make test", "cd frontend && npm install && npm run dev"]),
        ({"token_verification": "jwks"}, ["make run", "make test", "cd frontend && npm install"]),
        (
            {"frontend": "none"},
            ["make run", "make token", "make test", "BETTER_AUTH_URL", "BETTER_AUTH_SECRET"],
        ),
        (
            {"token_verification": "jwks", "frontend": "none"},
            ["make run", "make test", "BETTER_AUTH_URL", "JWKS_URL"],
        ),
    ],
)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_next_steps_depend_on_the_choices(
    project: Path, changes: Mapping[str, str], steps: list[str], database: str
) -> None:
    chosen = answers(database=database, **changes)
    post_gen.write_settings(chosen)

    text = post_gen.next_steps(chosen)

    lines = [line for line in text.splitlines() if line.startswith("    ")]
    assert len(lines) == len(steps)
    for line, step in zip(lines, steps, strict=True):
        assert line.startswith(f"    {step}")
    assert ("PostgreSQL" in text) is (database == "postgresql")
    assert ("docs/authentication.md" in text) is ("BETTER_AUTH_URL" in text)
    assert str(project) not in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    ("changes", "files"),
    [
        ({}, ".env and frontend/.env.local"),
        ({"frontend": "none"}, ".env"),
        ({"token_verification": "jwks"}, "frontend/.env.local"),
    ],
)
def test_empty_secret_is_the_only_next_step(
    project: Path, changes: Mapping[str, str], files: str
) -> None:
    chosen = answers(better_auth_secret="provide", **changes)
    post_gen.write_settings(chosen)

    [heading, step] = post_gen.next_steps(chosen).splitlines()

    assert heading.endswith(f" is ready, but BETTER_AUTH_SECRET is empty in {files}. Fill it in:")
    assert step.startswith("    openssl rand -base64 32")


def test_next_steps_show_no_secret(project: Path) -> None:
    post_gen.write_settings(answers())
    secret = settings(SERVICE_ENV)["BETTER_AUTH_SECRET"]

    assert secret not in post_gen.next_steps(answers())


def test_cruft_update_prints_no_next_steps(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(project.parent.parent))

    post_gen.main(answers(better_auth_secret="provide", _commit="0" * 40))
    assert capsys.readouterr() == ("", "")

    post_gen.main(answers())
    assert "is ready" in capsys.readouterr().out
