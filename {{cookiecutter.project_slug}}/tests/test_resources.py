"""Behavior that all resources of the API share, as a client sees it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from app.engine import UtcDateTime, begins_with
from app.repositories.filters import Filter
from tests.resources import RESOURCES
from tests.resources.resource import Resource
from tests.test_ownership import without_request_id

each_resource = pytest.mark.parametrize("resource", RESOURCES, ids=str)


def each_value(values: str) -> pytest.MarkDecorator:
    """Parametrize a test with the `accepted` or the `rejected` values of all fields."""
    parameters = [
        pytest.param(resource, field, value, id=f"{resource}-{field}-{number}")
        for resource in RESOURCES
        for field, field_values in getattr(resource, values).items()
        for number, value in enumerate(field_values)
    ]
    return pytest.mark.parametrize(("resource", "field", "value"), parameters)


def schema_of_body(document: Any, resource: Resource) -> Any:
    """Return the schema of the body that creates a resource."""
    content = document["paths"][resource.path]["post"]["requestBody"]["content"]
    name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
    return document["components"]["schemas"][name]


def test_listed_resources_match_the_openapi_document(client: httpx2.Client) -> None:
    document = client.get("/openapi.json").json()

    paths = {path.removesuffix("/{id}") for path in document["paths"] if path.endswith("/{id}")}
    assert paths == {resource.path for resource in RESOURCES}
    for resource in RESOURCES:
        schema = schema_of_body(document, resource)
        assert schema["properties"].keys() == {*resource.accepted, *resource.references}
        assert {*schema.get("required", ())} == resource.required
        assert resource.rejected.keys() == resource.accepted.keys()


@each_resource
def test_operations_have_short_names_for_generated_clients(
    client: httpx2.Client, resource: Resource
) -> None:
    paths = client.get("/openapi.json").json()["paths"]

    operations = [*paths[resource.path].values(), *paths[resource.path + "/{id}"].values()]
    names = [operation["operationId"].partition("_")[0] for operation in operations]
    assert sorted(names) == ["create", "delete", "get", "list", "update"]


# --- Create


@each_resource
def test_created_resource_has_id_version_and_times(ann: httpx2.Client, resource: Resource) -> None:
    body = resource.body(ann)

    created = ann.post(resource.path, json=body).json()

    created_at = datetime.fromisoformat(created["created_at"])
    assert created | body == created
    assert UUID(created["id"]).version == 7
    assert created["version"] == 1
    assert created["created_at"].endswith("Z")
    assert created["updated_at"] == created["created_at"]
    assert timedelta(0) <= datetime.now(UTC) - created_at < timedelta(minutes=1)


@each_resource
def test_fields_that_are_not_sent_have_the_documented_defaults(
    ann: httpx2.Client, resource: Resource
) -> None:
    body = resource.body(ann)
    fields = schema_of_body(ann.get("/openapi.json").json(), resource)["properties"]

    created = ann.post(resource.path, json=body).json()

    for field in fields.keys() - body.keys():
        assert created[field] == fields[field].get("default")


@each_resource
def test_created_resource_is_found_at_its_location(ann: httpx2.Client, resource: Resource) -> None:
    response = ann.post(resource.path, json=resource.body(ann))

    found = ann.get(response.headers["Location"])
    assert response.headers["Location"] == resource.url(response.json())
    assert found.json() == response.json()
    assert found.headers["ETag"] == response.headers["ETag"] == '"1"'


@each_value("accepted")
def test_accepted_value_is_returned_unchanged(
    ann: httpx2.Client, resource: Resource, field: str, value: Any
) -> None:
    created = resource.create(ann, **{field: value})

    assert created[field] == value
    assert ann.get(resource.url(created)).json() == created


@each_value("rejected")
def test_rejected_value_returns_422_and_changes_nothing(
    ann: httpx2.Client, resource: Resource, field: str, value: Any
) -> None:
    created = resource.create(ann)

    rejected = ann.post(resource.path, json=resource.body(ann, **{field: value}))
    unchanged = ann.patch(resource.url(created), json={field: value})

    assert (rejected.status_code, unchanged.status_code) == (422, 422)
    assert resource.all(ann) == [created]


@pytest.mark.parametrize("field", ["id", "owner_id", "user_id", "version", "created_at"])
@each_resource
def test_field_that_clients_cannot_set_returns_422(
    ann: httpx2.Client, resource: Resource, field: str
) -> None:
    created = resource.create(ann)

    value = created.get(field, "bob")
    rejected = ann.post(resource.path, json=resource.body(ann, **{field: value}))
    unchanged = ann.patch(resource.url(created), json={field: value})

    assert (rejected.status_code, unchanged.status_code) == (422, 422)
    assert resource.all(ann) == [created]


@pytest.mark.parametrize("body", [[], "x", None, 1])
@each_resource
def test_body_that_is_not_an_object_returns_422(
    ann: httpx2.Client, resource: Resource, body: object
) -> None:
    created = resource.create(ann)

    assert ann.post(resource.path, json=body).status_code == 422
    assert ann.patch(resource.url(created), json=body).status_code == 422
    assert resource.all(ann) == [created]


@each_resource
def test_missing_required_field_returns_422(ann: httpx2.Client, resource: Resource) -> None:
    complete = resource.body(ann)

    for field in resource.required:
        body = {name: value for name, value in complete.items() if name != field}
        assert ann.post(resource.path, json=body).status_code == 422

    assert resource.all(ann) == []


# --- List


@each_resource
def test_list_returns_newest_first(ann: httpx2.Client, resource: Resource) -> None:
    rows = [resource.create(ann) for _ in range(3)]

    page = ann.get(resource.path).json()

    assert page == {"items": rows[::-1], "next_cursor": None}


@each_resource
def test_pages_contain_every_row_once(ann: httpx2.Client, resource: Resource) -> None:
    rows = [resource.create(ann) for _ in range(5)]

    first = ann.get(resource.path, params={"limit": 2}).json()
    resource.create(ann)
    second = ann.get(resource.path, params={"limit": 2, "cursor": first["next_cursor"]}).json()
    third = ann.get(resource.path, params={"limit": 2, "cursor": second["next_cursor"]}).json()

    assert first["items"] + second["items"] + third["items"] == rows[::-1]
    assert third["next_cursor"] is None


@each_resource
def test_full_last_page_has_no_next_cursor(ann: httpx2.Client, resource: Resource) -> None:
    for _ in range(2):
        resource.create(ann)

    assert ann.get(resource.path, params={"limit": 2}).json()["next_cursor"] is None


@each_resource
def test_page_has_twenty_rows_by_default(ann: httpx2.Client, resource: Resource) -> None:
    for _ in range(21):
        resource.create(ann)

    assert len(resource.all(ann)) == 20


@pytest.mark.parametrize(
    "params", [{"limit": 0}, {"limit": -1}, {"limit": 101}, {"limit": "x"}, {"cursor": "x"}]
)
@each_resource
def test_invalid_query_returns_422(
    ann: httpx2.Client, resource: Resource, params: dict[str, str]
) -> None:
    assert ann.get(resource.path, params=params).status_code == 422


@each_resource
def test_unknown_query_parameter_has_no_effect(ann: httpx2.Client, resource: Resource) -> None:
    created = resource.create(ann)

    assert resource.all(ann, owner_id="bob", unknown="x") == [created]


@pytest.mark.parametrize(
    ("resource", "filter_"),
    [
        pytest.param(resource, filter_, id=f"{resource}-{filter_.name}")
        for resource in RESOURCES
        for filter_ in resource.repository.filters
    ],
)
def test_filter_returns_exactly_the_matching_rows(
    ann: httpx2.Client, resource: Resource, filter_: Filter
) -> None:
    field = filter_.column.key
    if field in resource.references:
        parent = resource.by_table[resource.references[field]]
        values = [parent.create(ann)["id"] for _ in range(2)]
    else:
        values = [value for value in resource.accepted[field] if value is not None]
    rows = [resource.create(ann, **{field: value}) for value in values]
    matches: Callable[[Any, Any], Any] = filter_.operator
    if filter_.operator is begins_with:
        matches, values = str.startswith, [*values, values[0][:1], values[0][:1].swapcase()]
    parse = (
        datetime.fromisoformat
        if isinstance(filter_.column.type, UtcDateTime)
        else lambda value: value
    )

    for value in values:
        found = [row for row in rows[::-1] if matches(parse(row[field]), parse(value))]
        assert resource.all(ann, limit=100, **{filter_.name: value}) == found


# --- Change and delete


@each_value("accepted")
def test_patch_changes_only_the_given_field(
    ann: httpx2.Client, resource: Resource, field: str, value: Any
) -> None:
    created = resource.create(ann, **{field: resource.accepted[field][-1]})

    response = ann.patch(resource.url(created), json={field: value})

    changed = response.json()
    assert response.status_code == 200
    assert response.headers["ETag"] == '"2"'
    assert changed == created | {
        field: value,
        "version": 2,
        "updated_at": changed["updated_at"],
    }
    assert changed["updated_at"] > created["updated_at"]
    assert ann.get(resource.url(created)).json() == changed


@each_resource
def test_deleted_resource_returns_404(ann: httpx2.Client, resource: Resource) -> None:
    deleted, other = resource.create(ann), resource.create(ann)

    response = ann.delete(resource.url(deleted))

    assert (response.status_code, response.content) == (204, b"")
    assert ann.get(resource.url(deleted)).status_code == 404
    assert ann.delete(resource.url(deleted)).status_code == 404
    assert resource.all(ann) == [other]


@pytest.mark.parametrize("etag", ['"1"', '"0", "1"', "*"])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@each_resource
def test_patch_and_delete_with_current_etag_succeed(
    ann: httpx2.Client, resource: Resource, method: str, etag: str
) -> None:
    url = resource.url(resource.create(ann))
    body: dict[str, str] | None = {} if method == "PATCH" else None

    response = ann.request(method, url, json=body, headers={"If-Match": etag})

    assert response.is_success


@pytest.mark.parametrize(
    "etag",
    ['"1"', 'W/"2"', 'w/"2"', 'W/ "2"', 'x"2"', '"02"', '"2"x', '"a, "2"', '"a,"2",b"',
     "2", '"2', '"two"', '""', "", "**", f'"{2**64}"', '"9",' * 32 + '"2"'],
)  # fmt: skip
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@each_resource
def test_patch_and_delete_with_another_etag_return_412(
    ann: httpx2.Client, resource: Resource, method: str, etag: str
) -> None:
    url = resource.url(resource.create(ann))
    changed = ann.patch(url, json={}).json()
    body: dict[str, str] | None = {} if method == "PATCH" else None

    response = ann.request(method, url, json=body, headers={"If-Match": etag})

    assert response.status_code == 412
    assert ann.get(url).json() == changed


@each_resource
def test_one_matching_if_match_header_of_several_is_enough(
    ann: httpx2.Client, resource: Resource
) -> None:
    url = resource.url(resource.create(ann))

    response = ann.delete(url, headers=[("If-Match", '"9"'), ("If-Match", '"1"')])

    assert response.status_code == 204


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@each_resource
def test_missing_resource_returns_404_whatever_the_etag(
    ann: httpx2.Client, resource: Resource, method: str
) -> None:
    url = f"{resource.path}/{uuid4()}"
    body: dict[str, str] | None = {} if method == "PATCH" else None

    response = ann.request(method, url, json=body, headers={"If-Match": '"1"'})

    assert response.status_code == 404


# --- References

each_reference = pytest.mark.parametrize(
    ("resource", "field", "parent"),
    [
        pytest.param(resource, field, Resource.by_table[table], id=f"{resource}-{field}")
        for resource in RESOURCES
        for field, table in resource.references.items()
    ],
)


@each_reference
def test_references_to_missing_and_other_users_rows_return_the_same_409(
    ann: httpx2.Client, bob: httpx2.Client, resource: Resource, field: str, parent: Resource
) -> None:
    created, bobs = resource.create(ann), parent.create(bob)

    responses = [
        response
        for other in (bobs["id"], str(uuid4()))
        for response in (
            ann.post(resource.path, json=resource.body(ann, **{field: other})),
            ann.patch(resource.url(created), json={field: other}),
        )
    ]

    assert responses[0].status_code == 409
    assert all(without_request_id(each) == without_request_id(responses[0]) for each in responses)
    assert ann.get(resource.url(created)).json() == created
    assert bob.get(parent.url(bobs)).json() == bobs


@each_reference
@pytest.mark.parametrize("value", ["x", 1, [], {}])
def test_reference_that_is_not_an_id_returns_422(
    ann: httpx2.Client, resource: Resource, field: str, parent: Resource, value: object
) -> None:
    parent.create(ann)

    response = ann.post(resource.path, json=resource.body(ann, **{field: value}))

    assert response.status_code == 422


@each_reference
def test_deleting_a_referenced_row_cascades_or_returns_409(
    ann: httpx2.Client, resource: Resource, field: str, parent: Resource
) -> None:
    referenced = parent.create(ann)
    created = resource.create(ann, **{field: referenced["id"]})
    [key] = [key for key in resource.table.foreign_key_constraints if field in key.column_keys]

    deleted = ann.delete(parent.url(referenced))

    if key.ondelete == "CASCADE":
        assert deleted.status_code == 204
        assert ann.get(resource.url(created)).status_code == 404
    else:
        assert deleted.status_code == 409
        assert ann.get(resource.url(created)).json() == created
        assert ann.get(parent.url(referenced)).json() == referenced
        assert ann.delete(resource.url(created)).status_code == 204
        assert ann.delete(parent.url(referenced)).status_code == 204


def test_account_deletion_erases_all_rows_of_one_user(
    ann: httpx2.Client, bob: httpx2.Client
) -> None:
    for resource in RESOURCES:
        for client in (ann, bob):
            parents = {
                field: Resource.by_table[table].create(client)["id"]
                for field, table in resource.references.items()
            }
            resource.create(client, **parents)
    bobs = [resource.all(bob) for resource in RESOURCES]

    assert ann.delete("/api/v1/me").status_code == 204

    assert [resource.all(ann) for resource in RESOURCES] == [[] for _ in RESOURCES]
    assert [resource.all(bob) for resource in RESOURCES] == bobs
