"""Repositories return rows of the resource's type, and reject invalid owners and versions."""

from operator import ge, le
from types import NoneType
from typing import Any, get_args, get_type_hints

import pytest

import app.routers  # noqa: F401 - imports all repositories
from app.engine import begins_with
from app.models.base import Base, OwnedBase
from app.repositories.filters import Filter
from app.repositories.owned import OwnedRepository
from app.repositories.user_data import UserData
from app.schemas.owned import PageQuery
from app.security.acting import acting_as
from tests.sample_resource import Repository

REPOSITORIES = OwnedRepository.__subclasses__()


def test_each_owned_model_has_a_repository() -> None:
    models = [mapper.class_ for mapper in Base.registry.mappers]

    owned = {model for model in models if issubclass(model, OwnedBase)}
    assert {repository.model for repository in REPOSITORIES} == owned


@pytest.mark.parametrize("repository", REPOSITORIES, ids=lambda repository: repository.__name__)
def test_row_type_has_the_columns_of_the_model(repository: Any) -> None:
    row, _ = get_args(repository.__orig_bases__[0])
    members = get_type_hints(row)

    columns = repository.model.__table__.columns
    assert list(members) == [column.name for column in columns if column.name != "owner_id"]
    for name, annotation in members.items():
        assert (NoneType in get_args(annotation)) == columns[name].nullable, name


@pytest.mark.parametrize("repository", REPOSITORIES, ids=lambda repository: repository.__name__)
def test_query_has_a_parameter_for_each_filter(repository: Any) -> None:
    _, query = get_args(repository.__orig_bases__[0])

    parameters = query.model_fields.keys() - PageQuery.model_fields.keys()
    assert sorted(parameters) == sorted(each.name for each in repository.filters)


each_filter = pytest.mark.parametrize(
    ("repository", "given"),
    [(repository, given) for repository in REPOSITORIES for given in repository.filters],
    ids=lambda part: getattr(part, "name", None),
)


@each_filter
def test_filter_compares_as_its_name_says(repository: Any, given: Filter) -> None:
    column, operators = given.column.key, {"_min": ge, "_max": le, "_prefix": begins_with}

    expected = {column + suffix: operator for suffix, operator in operators.items()}
    assert given.operator is expected.get(given.name, given.operator)
    assert given.column.class_ is repository.model


@each_filter
def test_filter_has_an_index_or_a_reason_for_none(repository: Any, given: Filter) -> None:
    indexed = {tuple(index.columns.keys()[:2]) for index in repository.model.__table__.indexes}

    assert (("owner_id", given.column.key) in indexed) == (given.unindexed is None)


@pytest.mark.parametrize("owned", [Repository, UserData])
@pytest.mark.parametrize("owner", ["ann", None, 1])
def test_owner_that_is_not_a_user_raises_type_error(owned: Any, owner: Any) -> None:
    with pytest.raises(TypeError, match="User"):
        owned(None, owner)


async def test_too_many_versions_raise_value_error() -> None:
    anns = Repository(None, acting_as("ann", reason="a test"))

    with pytest.raises(ValueError, match="100 versions"):
        await anns.delete(anns._owner.id, frozenset(range(101)))
