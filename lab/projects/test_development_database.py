"""The development database: an embedded PostgreSQL with its data in .postgres/."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
import pytest

from lab.servers import Server, answers, free_ports, wait_until
from tests.rendering import Machine, RenderedProject, clean_environment

BESIDE = ".venv/bin/python -m scripts.postgres"
COUNT = ".venv/bin/python count.py"
# Adds a row to a table that it creates, and prints the number of rows.
COUNT_PY = """
import asyncio, os, asyncpg
from app.config import DatabaseSettings

async def main():
    url = DatabaseSettings.load().database_url.get_secret_value().replace("+asyncpg", "")
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE IF NOT EXISTS counted (n int)")
    await connection.execute("INSERT INTO counted VALUES (1)")
    print(await connection.fetchval("SELECT count(*) FROM counted"))
    await connection.close()

asyncio.run(main())
"""

# Together on one process: one of these tests kills what another one counts.
pytestmark = pytest.mark.xdist_group("machine")


@pytest.fixture(scope="module")
def installed() -> Iterator[RenderedProject]:
    """A project with installed dependencies, for tests to copy. No test changes it."""
    with TemporaryDirectory(prefix="development-database-") as folder:
        project = Machine(Path(folder)).render(database="postgresql", frontend="none")
        project.run("make .venv/ready")
        (project.path / "count.py").write_text(COUNT_PY)
        yield project


@pytest.fixture
def project(installed: RenderedProject, tmp_path: Path) -> RenderedProject:
    return copy(installed, tmp_path / "project")


def copy(project: RenderedProject, folder: Path) -> RenderedProject:
    """Return a copy of the project with its own port; it shares the original's packages."""
    shutil.copytree(project.path, folder, symlinks=True, ignore=shutil.ignore_patterns(".venv"))
    (folder / ".venv").symlink_to((project.path / ".venv").resolve())
    set_port(folder, free_ports(1)[0])
    return RenderedProject(folder)


def set_port(folder: Path, port: int) -> None:
    url = f"DATABASE_URL=postgresql://postgres@127.0.0.1:{port}/postgres"
    lines = (folder / ".env").read_text().splitlines()
    kept = [line for line in lines if not line.startswith("DATABASE_URL=")]
    (folder / ".env").write_text("\n".join([*kept, url, ""]))


def port_of(project: RenderedProject) -> int:
    return int(project.settings(".env")["DATABASE_URL"].split(":")[-1].partition("/")[0])


@contextmanager
def running(project: RenderedProject) -> Iterator[Server]:
    """Run the development database until the block ends."""
    ready = project.path / "ready"
    (project.path / "hold.sh").write_text("touch ready && exec sleep 600\n")
    log = project.path.parent / "running.log"
    server = Server(f"{BESIDE} sh hold.sh", project.path, ready.exists, log=log)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        ready.unlink()


def refusal(project: RenderedProject, prefix: str = "") -> str:
    done = subprocess.run(
        f"{prefix} {BESIDE} {COUNT}".split(),
        cwd=project.path,
        env=clean_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr


def test_data_survives_a_restart(project: RenderedProject) -> None:
    assert [project.run(f"{BESIDE} {COUNT}") for _ in range(2)] == ["1\n", "2\n"]


def test_two_projects_run_side_by_side(project: RenderedProject, tmp_path: Path) -> None:
    other = copy(project, tmp_path / "other")

    with running(project), running(other):
        assert project.run(f"{BESIDE} {COUNT}") == other.run(f"{BESIDE} {COUNT}") == "1\n"


def test_command_uses_the_server_that_is_already_running(project: RenderedProject) -> None:
    with running(project):
        assert [project.run(f"{BESIDE} {COUNT}") for _ in range(2)] == ["1\n", "2\n"]


def test_folder_copied_while_in_use_gets_its_own_server(
    project: RenderedProject, tmp_path: Path
) -> None:
    with running(project):
        project.run(f"{BESIDE} {COUNT}")
        other = copy(project, tmp_path / "other")
        assert (other.path / ".postgres/18/postmaster.pid").exists()

        assert other.run(f"{BESIDE} {COUNT}") == "2\n"
        assert project.run(f"{BESIDE} {COUNT}") == "2\n"


def test_stale_pid_file_does_not_prevent_the_start(project: RenderedProject) -> None:
    project.run(f"{BESIDE} {COUNT}")
    # The id of a running process: this one.
    pid_file = project.path / ".postgres/18/postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n/elsewhere\n0\n1\n\n\n0\nready   \n")

    assert project.run(f"{BESIDE} {COUNT}") == "2\n"


def test_port_in_use_stops_the_start_and_says_what_to_do(
    project: RenderedProject, tmp_path: Path
) -> None:
    other = copy(project, tmp_path / "other")
    set_port(other.path, port_of(project))

    with running(project):
        [line] = refusal(other).splitlines()

    assert line.startswith(
        f"Port {port_of(project)} cannot be used: Address already in use. Stop the process"
    )


def test_interrupted_first_start_is_repeated_from_scratch(project: RenderedProject) -> None:
    half = project.path / ".postgres/new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")

    assert project.run(f"{BESIDE} {COUNT}") == "1\n"


@pytest.mark.parametrize("moved", [False, True])
def test_data_that_an_earlier_project_has_in_the_folder_itself_is_used(
    project: RenderedProject, moved: bool
) -> None:
    project.run(f"{BESIDE} {COUNT}")
    folder, aside = project.path / ".postgres", project.path / ".postgres-18"
    (folder / "18").rename(aside)
    if not moved:  # else the move was interrupted half-way
        shutil.rmtree(folder)
        aside.rename(folder)

    assert project.run(f"{BESIDE} {COUNT}") == "2\n"
    assert not aside.exists()


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (f"{BESIDE} no-such-program", "Cannot run this beside the development database: "),
        (BESIDE, "Usage: "),
    ],
)
def test_command_that_cannot_run_is_reported_in_one_line(
    project: RenderedProject, command: str, reason: str
) -> None:
    done = subprocess.run(
        command.split(),
        cwd=project.path,
        env=clean_environment(),
        capture_output=True,
        text=True,
    )

    [line] = done.stderr.splitlines()
    assert line.startswith(reason)
    assert done.returncode == 1


def test_umask_of_root_does_not_matter(project: RenderedProject) -> None:
    assert project.run(f"umask 077; {BESIDE} {COUNT}") == "1\n"


def test_ctrl_c_during_the_first_start_is_silent_and_leaves_nothing(
    project: RenderedProject,
) -> None:
    process = subprocess.Popen(
        f"{BESIDE} {COUNT}".split(),
        cwd=project.path,
        env=clean_environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until((project.path / ".postgres/new/base").exists, 30, lambda: "initdb does not start")
    os.killpg(process.pid, signal.SIGINT)
    _, printed = process.communicate(timeout=30)

    assert (process.returncode, printed) == (128 + signal.SIGINT, "")
    assert project.run(f"{BESIDE} {COUNT}") == "1\n"


def test_data_of_another_major_version_is_kept_and_reported(project: RenderedProject) -> None:
    (project.path / ".postgres").mkdir()
    (project.path / ".postgres/PG_VERSION").write_text("16\n")

    printed = project.run(f"{BESIDE} {COUNT}")

    note, count = printed.splitlines()
    assert note.startswith("PostgreSQL 18 starts with an empty database")
    assert "PostgreSQL 16" in note
    assert count == "1"
    assert (project.path / ".postgres/PG_VERSION").read_text() == "16\n"


def test_failed_start_prints_the_reason_in_one_line(project: RenderedProject) -> None:
    project.run(f"{BESIDE} {COUNT}")
    with (project.path / ".postgres/18/postgresql.conf").open("a") as configuration:
        configuration.write("shared_buffers = nonsense\n")

    [line] = refusal(project).splitlines()

    assert line.startswith("The database did not start: ")
    assert "postgresql.conf" in line or "shared_buffers" in line


def test_server_whose_parent_was_killed_is_reused_and_then_stopped(
    project: RenderedProject,
) -> None:
    with running(project) as server:
        project.run(f"{BESIDE} {COUNT}")
        os.kill(server.pid, signal.SIGKILL)

        assert project.run(f"{BESIDE} {COUNT}") == "2\n"
        assert not (project.path / ".postgres/18/postmaster.pid").exists()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM])
def test_signal_stops_the_command_and_the_server(
    project: RenderedProject, number: signal.Signals
) -> None:
    with running(project) as server:
        os.kill(server.pid, number)
        wait_until(
            lambda: not (project.path / ".postgres/18/postmaster.pid").exists(), 30, server.printed
        )


def test_dev_server_restarts_on_changes_survives_a_syntax_error_and_ends_with_ctrl_c(
    project: RenderedProject,
) -> None:
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    server = Server(
        "make dev",
        project.path,
        lambda: answers(f"{url}/health/ready"),
        environment={"PORT": str(port)},
    )
    main = project.path / "app/main.py"
    text = main.read_text()
    changed = text.replace('title=pyproject["tool"]["service"]["title"]', 'title="Changed"')
    assert changed != text

    server.start()
    try:
        main.write_text("def (:")
        wait_until(lambda: "SyntaxError" in server.printed(), 60, server.printed)
        main.write_text(changed)
        wait_until(lambda: "Changed" in httpx2.get(f"{url}/docs").text, 60, server.printed)
        os.killpg(server.pid, signal.SIGINT)
        pid_file = project.path / ".postgres/18/postmaster.pid"
        wait_until(lambda: not pid_file.exists(), 30, server.printed)
        wait_until(lambda: not answers(f"{url}/health/live"), 30, server.printed)
    finally:
        server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only for root does the server run as another user")
def test_data_of_another_user_is_refused_in_one_line(project: RenderedProject) -> None:
    project.run(f"{BESIDE} {COUNT}")

    # Root, but bound by the modes of files as others are.
    [line] = refusal(project, "setpriv --bounding-set=-dac_override,-dac_read_search").splitlines()

    assert line.startswith(f"You may not write to {project.path / '.postgres/18'}.")


def test_database_locale_does_not_depend_on_the_environment(project: RenderedProject) -> None:
    (project.path / "show_locale.py").write_text(
        COUNT_PY.partition("    await connection.execute")[0]
        + "    print(await connection.fetchval('SELECT datlocale FROM pg_database LIMIT 1'))\n"
        "asyncio.run(main())\n"
    )
    missing = {"LC_ALL": "xx_XX.UTF-8", "LANG": "xx_XX.UTF-8", "LC_COLLATE": "yy"}

    printed = project.run(f"{BESIDE} .venv/bin/python show_locale.py", **missing)

    assert printed == "C.UTF-8\n"
