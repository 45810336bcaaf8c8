"""The benchmark compares like with like. How fast the services are is not tested."""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from lab.benchmarks import plot, report
from lab.benchmarks.bench import Combination, Service, bench, same_body
from lab.benchmarks.measure import OPERATIONS, Sample, Start
from lab.benchmarks.revision import template_at
from lab.faults.client import TASKS
from tests.rendering import ROOT, Machine, cannot_run


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Service]]:
    if sys.platform != "linux" or not shutil.which("taskset"):
        cannot_run("taskset is missing, which pins processes to cores")
    machine = Machine(tmp_path_factory.mktemp("bench"))
    with bench(machine, Combination("sqlite", "shared-secret"), before=ROOT) as project:
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
    assert created.json()["title"] == f"by {name}"
    assert same_body(services, path) == created.body

    changes = {"completed": True, "description": "done"}
    changed = services[name].ask("PATCH", path, changes)
    assert same_body(services, path) == changed.body
    assert changed.json().items() >= {**changes, "title": f"by {name}", "version": 2}.items()

    assert services[name].ask("DELETE", path).status == 204
    assert {service.ask("GET", path).status for service in services.values()} == {404}


def test_page_and_plot_show_the_ratio_of_each_service_to_the_limit() -> None:
    combination = Combination("sqlite", "shared-secret")
    samples = {
        "limit": [Sample(1000, 300), Sample(1000, 300), Sample(1000, 300)],
        "ours": [Sample(900, 400), Sample(500, 375), Sample(800, 600)],
    }
    results = report.Results(
        samples={operation: samples for operation in OPERATIONS},
        starts={"limit": Start(0.4, 50), "ours": Start(0.5, 60)},
        loaded_mib={"limit": 60, "ours": 90},
    )
    verified = {"algorithm": "HS256", "microseconds": {"bare": [2], "first": [3], "again": [1]}}

    page = report.page({combination: results}, [verified], "facts", 3, 1, 5, "")
    picture = plot.plot({combination: results.samples})

    assert page.count("| list | 0.75 (0.50 to 0.80) | 300 / 400 µs |") == 1
    assert page.count("| list | 0.80 (0.50 to 0.90) | 1,000 / 800 /s |") == 1
    assert "|  | ours | 0.50 s (1.25) | 60 MiB (1.20) | 90 MiB (1.50) |" in page
    assert picture.count(">0.75</text>") == len(OPERATIONS)


def test_template_of_a_git_revision_is_extracted(tmp_path: Path) -> None:
    template = template_at("HEAD", tmp_path / "template")

    assert template == tmp_path / "template"
    assert (template / "cookiecutter.json").is_file()


def test_unknown_revision_exits_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="BENCH_BEFORE: nowhere"):
        template_at("nowhere", tmp_path / "template")

    assert not (tmp_path / "template").exists()
