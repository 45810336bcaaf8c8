"""The description of a resource, for the tests that run for every resource."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import httpx2

from app.repositories.owned import OwnedRepository


@dataclass(frozen=True)
class Resource:
    """A resource of the API, with values that its fields accept and reject.

    `accepted` has at least two values for each field that is not a reference. The values in
    `rejected` return a 422.
    """

    repository: type[OwnedRepository[Any, Any]]
    path: str
    accepted: Mapping[str, Sequence[Any]]
    rejected: Mapping[str, Sequence[Any]]

    by_table: ClassVar[dict[str, "Resource"]] = {}

    def __post_init__(self) -> None:
        self.by_table[str(self)] = self

    def __str__(self) -> str:
        return str(self.table)

    @property
    def table(self) -> Any:
        return self.repository.model.__table__

    @cached_property
    def required(self) -> frozenset[str]:
        """The fields that a request body must have."""
        own = {*self.accepted, *self.references}
        return frozenset(
            column.key
            for column in self.table.columns
            if column.key in own and not column.nullable and column.default is None
        )

    @cached_property
    def references(self) -> Mapping[str, str]:
        """The fields that are references, each with the table it refers to."""
        return {
            key.column_keys[-1]: key.referred_table.name
            for key in self.table.foreign_key_constraints
        }

    def body(self, client: httpx2.Client, /, **fields: Any) -> dict[str, Any]:
        """Return a request body with the required fields. Creates the rows it has to refer to."""
        body = {name: self.accepted[name][0] for name in self.accepted if name in self.required}
        for name in self.required & self.references.keys() - fields.keys():
            body[name] = self.by_table[self.references[name]].create(client)["id"]
        return body | fields

    def create(self, client: httpx2.Client, /, **fields: Any) -> dict[str, Any]:
        response = client.post(self.path, json=self.body(client, **fields))
        assert response.status_code == 201, response.text
        created: dict[str, Any] = response.json()
        return created

    def url(self, row: Mapping[str, Any]) -> str:
        return f"{self.path}/{row['id']}"

    def all(self, client: httpx2.Client, /, **query: Any) -> list[dict[str, Any]]:
        """Return the rows on the first page."""
        response = client.get(self.path, params=query)
        assert response.status_code == 200, response.text
        rows: list[dict[str, Any]] = response.json()["items"]
        return rows
