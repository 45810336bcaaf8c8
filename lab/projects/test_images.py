"""The service runs from the files of its image alone. The image is built here without Docker."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
import pytest

from lab.servers import answers, free_ports, wait_until
from tests.images import HandmadeImage
from tests.rendering import Machine


@pytest.fixture
def scratch() -> Iterator[Path]:
    # Not in pytest's folders: pytest keeps them after the run, and images are large.
    with TemporaryDirectory(prefix="image-") as folder:
        yield Path(folder)


@pytest.mark.parametrize(("database", "ready"), [("sqlite", 200), ("postgresql", 503)])
def test_service_runs_with_only_the_files_copied_into_its_image(
    machine: Machine, scratch: Path, database: str, ready: int
) -> None:
    project = machine.render(database=database)
    for not_to_be_copied in ("app/__pycache__/old.pyc", "tasks.db"):
        (project.path / not_to_be_copied).parent.mkdir(exist_ok=True)
        (project.path / not_to_be_copied).touch()
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}/health"
    settings = {"HOST": "127.0.0.1", "PORT": str(port), "BETTER_AUTH_SECRET": project.secret}
    if database == "postgresql":  # The database is unavailable; the service starts anyway.
        settings["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/nothing"

    image = HandmadeImage(project.path, scratch)
    copied = image.files()
    process = image.start(**settings)
    try:
        wait_until(lambda: answers(f"{url}/live"), 30, image.logs)
        image.check_health()
        assert httpx2.get(f"{url}/ready", trust_env=False).status_code == ready
    finally:
        process.terminate()
        status = process.wait(30)

    assert status == 0, image.logs()
    with pytest.raises(AssertionError):
        image.check_health()
    assert image.files() == copied  # It can be run on a read-only file system.
    assert (image.root / "data/tasks.db").exists() is (database == "sqlite")
    in_app = {path.split("/")[1] for path in copied}
    assert in_app == {".venv", "app", "migrations", "pyproject.toml"}
    assert "app/app/__pycache__/old.pyc" not in copied
    assert not [path for path in copied if "/site-packages/pytest/" in path]
