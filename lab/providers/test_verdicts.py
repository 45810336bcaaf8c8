"""The service and the frontend accept and refuse the same database URLs."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.providers.conftest import NewFolder
from lab.providers.frontends import Frontend
from lab.providers.servers import Authority
from lab.providers.test_frontend import PARSING
from tests.rendering import RenderedProject, clean_environment

VERDICTS = json.loads(Path(__file__).with_name("urls.json").read_text())
SERVICE = """
import json, pathlib, sys
from app.database_url import parse
def said(url):
    try:
        parse(url, pathlib.Path.cwd())
    except ValueError as error:
        return str(error) or "no message"
    return ""
print(json.dumps([said(url) for url in json.loads(sys.argv[1])]))
"""

Judge = Callable[..., list[tuple[str, str]]]


@pytest.fixture(scope="module")
def files(new_folder: NewFolder, authority: Authority) -> Path:
    folder = new_folder("verdicts")
    authority.write(folder / "root.crt")
    authority.write_pair(folder, "client", "certified")
    pair = ((folder / f"client.{end}").read_text() for end in ("crt", "key"))
    (folder / "both.crt").write_text("".join(pair))
    (folder / "garbage.crt").write_text("no certificate")
    (folder / "pgpass").write_text("*:*:*:*:x\n")
    (folder / "latin-pgpass").write_bytes("*:*:*:*:\xe9\n".encode("latin-1"))
    for name in ("pgpass", "latin-pgpass"):
        (folder / name).chmod(0o600)
    shutil.copy(folder / "pgpass", folder / "open-pgpass")
    (folder / "open-pgpass").chmod(0o644)
    return folder


@pytest.fixture(scope="module")
def judge(project: RenderedProject, frontend: Frontend, files: Path) -> Judge:
    """`judge(urls)` returns what the service and the frontend say of each; "" if they accept it."""

    def judge(urls: list[str], **environment: str) -> list[tuple[str, str]]:
        environment = {"HOME": str(files / "home")} | environment
        done = subprocess.run(
            [project.path / ".venv/bin/python", "-W", "error", "-c", SERVICE, json.dumps(urls)],
            cwd=project.path,
            env=clean_environment() | environment,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")
        pages = frontend.script("parsing.ts", PARSING, urls, **environment)
        return list(zip(json.loads(done.stdout), pages, strict=True))

    return judge


@pytest.mark.parametrize("verdict", VERDICTS)
def test_service_and_frontend_accept_the_same_urls(judge: Judge, files: Path, verdict: str) -> None:
    urls = [url.replace("{files}", str(files)) for url in VERDICTS[verdict]]
    # Without a user in the URL, the queries would also depend on the system's.
    full = [f"postgresql://ann@h/d{url}" if url.startswith("?") else url for url in urls]

    said = judge(full)

    wrong = [
        f"{url}\n  service: {service or 'accepted'}\n  frontend: {pages or 'accepted'}"
        for url, (service, pages) in zip(full, said, strict=True)
        if {bool(service), bool(pages)} != {verdict == "refused"}
    ]
    assert not wrong, "\n".join(wrong)
    assert not any("\n" in message for messages in said for message in messages)


@pytest.mark.parametrize("name", ["pgpass", "open-pgpass", "missing", ""])
def test_default_password_file_that_cannot_be_used_is_ignored(
    judge: Judge, files: Path, name: str
) -> None:
    assert judge(["postgresql://ann@h/d"], PGPASSFILE=str(files / name)) == [("", "")]


def test_password_file_that_is_not_utf8_is_refused_by_name(judge: Judge, files: Path) -> None:
    urls = ["postgresql://ann@h/d", "postgresql://ann:p@h/d"]

    needed, unneeded = judge(urls, PGPASSFILE=str(files / "latin-pgpass"))

    assert all("the file of PGPASSFILE" in message for message in needed), needed
    assert unneeded == ("", "")
