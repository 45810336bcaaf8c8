"""The benchmark compares like with like. How fast the services are is not tested."""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from benchmarks.revision import template_at
from benchmarks.stage import Combination, Service, same_body, stage
from conftest import ROOT, Machine, cannot_run
from faults.client import TASKS


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Service]]:
    if sys.platform != "linux" or not shutil.which("taskset"):
        cannot_run("taskset is missing, which pins processes to cores")
    machine = Machine(tmp_path_factory.mktemp("bench"))
    with stage(machine, Combination("sqlite", "shared-secret"), before=ROOT) as project:
        project.fill()
        with project.serving(project.subjects) as services:
            yield services


def test_all_services_return_the_same_bytes(services: Mapping[str, Service]) -> None:
    page = json.loads(same_body(services, TASKS))
    following = json.loads(same_body(services, f"{TASKS}?cursor={page['next_cursor']}"))
    same_body(services, f"{TASKS}/{page['items'][0]['id']}")

    assert services.keys() == {"ours", "before", "limit", "starlette", "litestar", "orm"}
    assert len(page["items"]) == len(following["items"]) == 20
    assert following["next_cursor"] is None


# Not `orm`: like the templates it follows, it responds before it commits, so that the next request
# may still read the old state.
@pytest.mark.parametrize("name", ["ours", "before", "limit", "starlette", "litestar"])
def test_all_services_read_what_one_writes(services: Mapping[str, Service], name: str) -> None:
    created = services[name].ask("POST", TASKS, {"title": f"by {name}"})
    path = f"{TASKS}/{created.json()['id']}"
    assert created.status == 201
    assert same_body(services, path) == created.body

    changed = services[name].ask("PATCH", path, {"completed": True, "description": "done"})
    assert same_body(services, path) == changed.body
    assert changed.json()["version"] == 2

    assert services[name].ask("DELETE", path).status == 204
    assert {service.ask("GET", path).status for service in services.values()} == {404}


def test_template_of_a_git_revision_is_extracted(tmp_path: Path) -> None:
    template = template_at("HEAD", tmp_path / "template")

    assert template == tmp_path / "template"
    assert (template / "cookiecutter.json").is_file()


def test_unknown_revision_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="BENCH_BEFORE: nowhere"):
        template_at("nowhere", tmp_path / "template")

    assert not (tmp_path / "template").exists()
