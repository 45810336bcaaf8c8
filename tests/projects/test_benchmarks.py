"""The benchmark compares like with like; how fast they are is not tested."""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping

import pytest
from benchmarks.stage import SUBJECTS, Combination, Service, same_body, stage
from conftest import Machine, cannot_run
from faults.client import TASKS


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Service]]:
    if sys.platform != "linux" or not shutil.which("taskset"):
        cannot_run("taskset is missing: processes are pinned to cores")
    machine = Machine(tmp_path_factory.mktemp("bench"))
    with stage(machine, Combination("sqlite", "shared-secret")) as project:
        project.fill()
        with project.serving(SUBJECTS) as services:
            yield services


def test_all_list_and_get_the_same_bytes(services: Mapping[str, Service]) -> None:
    page = json.loads(same_body(services, TASKS))
    following = json.loads(same_body(services, f"{TASKS}?cursor={page['next_cursor']}"))
    same_body(services, f"{TASKS}/{page['items'][0]['id']}")

    assert len(page["items"]) == len(following["items"]) == 20
    assert following["next_cursor"] is None


# Not `orm`: like the templates it follows it answers before it commits, and who reads at once may
# still read what was there before.
@pytest.mark.parametrize("name", ["limit", "ours"])
def test_what_one_writes_all_read(services: Mapping[str, Service], name: str) -> None:
    created = services[name].ask("POST", TASKS, {"title": f"by {name}"})
    path = f"{TASKS}/{created.json()['id']}"
    assert same_body(services, path) == created.body

    changed = services[name].ask("PATCH", path, {"completed": True, "description": "done"})
    assert same_body(services, path) == changed.body
    assert changed.json()["version"] == 2

    assert services[name].ask("DELETE", path).status == 204
    assert {service.ask("GET", path).status for service in services.values()} == {404}
