"""A service behind an nginx that strips a prefix, configured as the project's documents say."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from conftest import RenderedProject, cannot_run
from servers import Server, answers, free_ports

from scaling.machines import NGINX, which


@contextmanager
def behind_nginx(project: RenderedProject, folder: Path, prefix: str) -> Iterator[str]:
    """The address of nginx, which serves the service under `prefix`; its database is away."""
    port, nginx_port = free_ports(2)
    document = (project.path / "docs/deploying.md").read_text()
    [location] = re.findall(r"(?ms)^```nginx\n(.*?)^```", document)
    location = location.replace("/tasks/", f"{prefix}/").replace(":8000", f":{port}")
    site = f"server {{ listen 127.0.0.1:{nginx_port}; {location} }}"
    (folder / "site.conf").write_text(site)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder))
    service = Server(
        f"{project.path}/.venv/bin/python -m uvicorn --factory app.main:create_app --port {port}",
        project.path,
        lambda: answers(f"http://127.0.0.1:{port}/health/live"),
        environment={"ROOT_PATH": prefix},
        log=folder / "service.log",
    )
    nginx = Server(
        f"{which('nginx')} -e stderr -p {folder} -c {folder}/nginx.conf",
        folder,
        lambda: answers(f"http://127.0.0.1:{nginx_port}{prefix}/health/live"),
        log=folder / "nginx.log",
    )
    try:
        service.start()
        nginx.start()
        yield f"http://127.0.0.1:{nginx_port}"
    finally:
        nginx.stop()
        service.stop()


@pytest.mark.parametrize("prefix", ["/tasks", "/api", "/api/v1"])
def test_links_lead_through_the_proxy_and_the_api_stays_closed(
    project: RenderedProject, tmp_path: Path, prefix: str
) -> None:
    if not which("nginx"):
        cannot_run("nginx is missing (apt-get install nginx)")
    with behind_nginx(project, tmp_path, prefix) as address:
        docs = httpx2.get(f"{address}{prefix}/docs", trust_env=False)
        [link] = re.findall(r"url: '(.*?)'", docs.text)
        document = httpx2.get(address + link, trust_env=False).json()
        [server] = document["servers"]
        api = httpx2.get(f"{address}{server['url']}/api/v1/tasks", trust_env=False)
        outside = httpx2.get(f"{address}/health/live", trust_env=False)

    assert server["url"] == prefix
    assert api.status_code == 401
    assert "X-Request-ID" not in outside.headers
