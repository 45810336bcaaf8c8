"""The calls of `/tasks`, as a client sees them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import httpx2
import pytest

TASKS = "/api/v1/tasks"


def create(client: httpx2.Client, **fields: object) -> dict[str, object]:
    response = client.post(TASKS, json={"title": "Buy milk"} | fields)
    assert response.status_code == 201
    task: dict[str, object] = response.json()
    return task


def test_the_calls_have_short_names_for_generated_clients(client: httpx2.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]

    calls = [*paths[TASKS].values(), *paths[TASKS + "/{id}"].values()]

    names = {call["operationId"] for call in calls}
    assert names == {"create_task", "list_tasks", "get_task", "update_task", "delete_task"}


def test_a_created_task_has_its_defaults(ann: httpx2.Client) -> None:
    task = create(ann, title="Buy milk")

    created_at = datetime.fromisoformat(str(task["created_at"]))
    assert UUID(str(task["id"])).version == 7
    assert task["title"] == "Buy milk"
    assert task["description"] is None
    assert task["completed"] is False
    assert task["version"] == 1
    assert str(task["created_at"]).endswith("Z")
    assert task["updated_at"] == task["created_at"]
    assert timedelta(0) <= datetime.now(UTC) - created_at < timedelta(minutes=1)


def test_a_created_task_is_found_where_location_says(ann: httpx2.Client) -> None:
    response = ann.post(TASKS, json={"title": "Buy milk", "description": "2 l", "completed": True})

    found = ann.get(response.headers["Location"])
    assert response.headers["Location"] == f"{TASKS}/{response.json()['id']}"
    assert found.json() == response.json()
    assert found.headers["ETag"] == response.headers["ETag"] == '"1"'


def test_a_title_is_trimmed(ann: httpx2.Client) -> None:
    assert create(ann, title="  Buy milk\n")["title"] == "Buy milk"


@pytest.mark.parametrize("title", ["x" * 200, "買牛奶 🥛", "' OR 1=1 --", "<b>", "e\u0301"])
def test_text_comes_back_as_it_was_sent(ann: httpx2.Client, title: str) -> None:
    task = create(ann, title=title, description="\t\r\n" + "x" * 9_997)

    assert ann.get(f"{TASKS}/{task['id']}").json() == task
    assert task["title"] == title
    assert task["description"] == "\t\r\n" + "x" * 9_997


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"title": ""},
        {"title": " \n"},
        {"title": None},
        {"title": 1},
        {"title": "x" * 201},
        {"title": "a\x00b"},
        {"title": "x", "description": "a\x00b"},
        {"title": "x", "description": "x" * 10_001},
        {"title": "x", "completed": "true"},
        {"title": "x", "completed": None},
        {"title": "x", "id": str(uuid4())},
        {"title": "x", "owner_id": "bob"},
        {"title": "x", "user_id": "bob"},
        {"title": "x", "version": 7},
        [],
        "title",
        None,
    ],
)
def test_an_invalid_task_is_refused_and_not_kept(ann: httpx2.Client, fields: object) -> None:
    response = ann.post(TASKS, json=fields)

    assert response.status_code == 422
    assert ann.get(TASKS).json()["items"] == []


def test_a_list_begins_with_the_newest(ann: httpx2.Client) -> None:
    tasks = [create(ann, title=str(number)) for number in range(3)]

    page = ann.get(TASKS).json()

    assert page == {"items": tasks[::-1], "next_cursor": None}


def test_pages_hold_every_task_once(ann: httpx2.Client) -> None:
    tasks = [create(ann, title=str(number)) for number in range(5)]

    first = ann.get(TASKS, params={"limit": 2}).json()
    create(ann, title="added between two pages")
    second = ann.get(TASKS, params={"limit": 2, "cursor": first["next_cursor"]}).json()
    third = ann.get(TASKS, params={"limit": 2, "cursor": second["next_cursor"]}).json()

    assert first["items"] + second["items"] + third["items"] == tasks[::-1]
    assert third["next_cursor"] is None


def test_a_full_last_page_has_no_next(ann: httpx2.Client) -> None:
    for number in range(2):
        create(ann, title=str(number))

    assert ann.get(TASKS, params={"limit": 2}).json()["next_cursor"] is None


def test_a_page_has_twenty_tasks_unless_told(ann: httpx2.Client) -> None:
    for number in range(21):
        create(ann, title=str(number))

    assert len(ann.get(TASKS).json()["items"]) == 20


def test_a_list_can_be_of_open_or_of_completed_tasks(ann: httpx2.Client) -> None:
    done, still_open = create(ann, completed=True), create(ann)

    assert ann.get(TASKS, params={"completed": "true"}).json()["items"] == [done]
    assert ann.get(TASKS, params={"completed": "false"}).json()["items"] == [still_open]


@pytest.mark.parametrize(
    "params", [{"limit": 0}, {"limit": 101}, {"limit": "x"}, {"cursor": "x"}, {"completed": "x"}]
)
def test_an_invalid_query_is_refused(ann: httpx2.Client, params: dict[str, str]) -> None:
    assert ann.get(TASKS, params=params).status_code == 422


def test_an_unknown_query_parameter_has_no_effect(ann: httpx2.Client) -> None:
    task = create(ann)

    assert ann.get(TASKS, params={"owner_id": "bob"}).json()["items"] == [task]


@pytest.mark.parametrize(
    "change",
    [
        {"title": "Buy oat milk"},
        {"description": "2 l"},
        {"description": None},
        {"completed": True},
        {"title": "Buy oat milk", "description": None, "completed": True},
    ],
)
def test_a_change_touches_only_what_it_names(ann: httpx2.Client, change: dict[str, object]) -> None:
    task = create(ann, description="1 l")

    response = ann.patch(f"{TASKS}/{task['id']}", json=change)

    changed = response.json()
    assert response.status_code == 200
    assert response.headers["ETag"] == '"2"'
    assert changed == task | change | {"version": 2, "updated_at": changed["updated_at"]}
    assert changed["updated_at"] > task["updated_at"]
    assert ann.get(f"{TASKS}/{task['id']}").json() == changed


@pytest.mark.parametrize(
    "change", [{"title": None}, {"title": " "}, {"completed": None}, {"owner_id": "bob"}, []]
)
def test_an_invalid_change_is_refused_and_not_made(ann: httpx2.Client, change: object) -> None:
    task = create(ann)

    assert ann.patch(f"{TASKS}/{task['id']}", json=change).status_code == 422
    assert ann.get(f"{TASKS}/{task['id']}").json() == task


def test_a_deleted_task_is_gone(ann: httpx2.Client) -> None:
    task, other = create(ann), create(ann)

    response = ann.delete(f"{TASKS}/{task['id']}")

    assert (response.status_code, response.content) == (204, b"")
    assert ann.get(f"{TASKS}/{task['id']}").status_code == 404
    assert ann.delete(f"{TASKS}/{task['id']}").status_code == 404
    assert ann.get(TASKS).json()["items"] == [other]


@pytest.mark.parametrize("etag", ['"1"', '"0", "1"', "*"])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_change_is_made_if_the_version_holds(ann: httpx2.Client, method: str, etag: str) -> None:
    url = f"{TASKS}/{create(ann)['id']}"
    body = {"title": "Mine"} if method == "PATCH" else None

    response = ann.request(method, url, json=body, headers={"If-Match": etag})

    assert response.is_success


@pytest.mark.parametrize(
    "etag",
    ['"1"', 'W/"2"', 'w/"2"', 'W/ "2"', 'x"2"', '"02"', '"2"x', '"a, "2"', '"a,"2",b"',
     "2", '"2', '"two"', '""', "", "**", f'"{2**64}"', '"9",' * 32 + '"2"'],
)  # fmt: skip
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_change_is_refused_if_the_version_is_another(
    ann: httpx2.Client, method: str, etag: str
) -> None:
    url = f"{TASKS}/{create(ann)['id']}"
    changed = ann.patch(url, json={"title": "Changed meanwhile"}).json()
    body = {"title": "Mine"} if method == "PATCH" else None

    response = ann.request(method, url, json=body, headers={"If-Match": etag})

    assert response.status_code == 412
    assert ann.get(url).json() == changed


def test_several_if_match_lines_are_one_list(ann: httpx2.Client) -> None:
    url = f"{TASKS}/{create(ann)['id']}"

    response = ann.delete(url, headers=[("If-Match", '"9"'), ("If-Match", '"1"')])

    assert response.status_code == 204


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_missing_task_is_missing_in_every_version(ann: httpx2.Client, method: str) -> None:
    body: dict[str, str] | None = {} if method == "PATCH" else None

    response = ann.request(method, f"{TASKS}/{uuid4()}", json=body, headers={"If-Match": '"1"'})

    assert response.status_code == 404
