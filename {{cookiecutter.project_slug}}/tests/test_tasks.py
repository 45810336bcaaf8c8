"""Behavior that only tasks have."""

import httpx2
import pytest

from tests.resources.task import TASKS


def test_operation_ids_are_stable(client: httpx2.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]

    operations = [*paths[TASKS.path].values(), *paths[TASKS.path + "/{id}"].values()]

    names = {operation["operationId"] for operation in operations}
    assert names == {"create_task", "list_tasks", "get_task", "update_task", "delete_task"}


def test_created_task_has_its_defaults(ann: httpx2.Client) -> None:
    task = TASKS.create(ann, title="Buy milk")

    assert (task["title"], task["completed"]) == ("Buy milk", False)


def test_title_is_trimmed(ann: httpx2.Client) -> None:
    assert TASKS.create(ann, title="  Buy milk\n")["title"] == "Buy milk"


def test_title_limit_applies_after_trimming(ann: httpx2.Client) -> None:
    title = "x" * 200

    assert TASKS.create(ann, title=f"\n {title}\t")["title"] == title


def test_change_of_several_fields_is_made_at_once(ann: httpx2.Client) -> None:
    task = TASKS.create(ann)
    change = {"title": "Buy oat milk", "completed": True}

    changed = ann.patch(TASKS.url(task), json=change).json()

    assert changed == task | change | {"version": 2, "updated_at": changed["updated_at"]}


@pytest.mark.parametrize("completed", ["x", "", "2"])
def test_filter_with_an_invalid_value_returns_422(ann: httpx2.Client, completed: str) -> None:
    assert ann.get(TASKS.path, params={"completed": completed}).status_code == 422
