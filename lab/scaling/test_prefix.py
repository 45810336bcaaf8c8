"""The service behind an nginx that strips a prefix, with the configuration of deploying.md."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from lab.scaling.machines import StrippingNginx, which
from lab.servers import Server, answers, free_ports
from tests.rendering import RenderedProject, cannot_run


@contextmanager
def behind_nginx(project: RenderedProject, folder: Path, prefix: str) -> Iterator[str]:
    """Yield the URL of the service under `prefix`. Its database is unavailable."""
    [port] = free_ports(1)
    service = Server(
        f"{project.path}/.venv/bin/python -m uvicorn --factory app.main:create_app --port {port}",
        project.path,
        lambda: answers(f"http://127.0.0.1:{port}/health/live"),
        environment={"ROOT_PATH": prefix},
        log=folder / "service.log",
    )
    nginx = StrippingNginx(project.path, folder, port, prefix)
    try:
        service.start()
        nginx.start()
        yield nginx.url
    finally:
        nginx.stop()
        service.stop()


@pytest.mark.parametrize("prefix", ["/tasks", "/api", "/api/v1"])
def test_service_behind_proxy_puts_prefix_in_links_and_still_requires_a_token(
    project: RenderedProject, tmp_path: Path, prefix: str
) -> None:
    if not which("nginx"):
        cannot_run("nginx is missing (apt-get install nginx)")
    with behind_nginx(project, tmp_path, prefix) as url:
        address = url.removesuffix(prefix)
        docs = httpx2.get(f"{url}/docs", trust_env=False)
        [link] = re.findall(r"url: '(.*?)'", docs.text)
        document = httpx2.get(address + link, trust_env=False).json()
        [server] = document["servers"]
        api = httpx2.get(f"{address}{server['url']}/api/v1/tasks", trust_env=False)
        outside = httpx2.get(f"{address}/health/live", trust_env=False)

    assert server["url"] == prefix
    assert api.status_code == 401
    assert "X-Request-ID" not in outside.headers
