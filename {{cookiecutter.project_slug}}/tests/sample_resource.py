"""A sample resource, for tests that need only one: the first that has a required text field.

`BODY` is a request body with the required fields, and `VALUES` has the same for its repository.
`TEXT` is the name of a required text field. `READ` and `WRITE` are the scopes. `FILTER` is a query
that filters the list, or empty if the resource has no filter.
"""

from operator import eq
from typing import Any, get_args

import httpx2

from tests.resources import RESOURCES

SAMPLE = next(
    each
    for each in RESOURCES
    if each.required <= each.accepted.keys()  # no required reference
    and any(isinstance(each.accepted[name][0], str) for name in each.required)
)
PATH = SAMPLE.path
READ, WRITE = (f"{PATH.removeprefix('/api/v1/')}:{verb}" for verb in ("read", "write"))
Repository: Any = SAMPLE.repository
Model: Any = SAMPLE.repository.model
Query: Any = get_args(Repository.__orig_bases__[0])[1]
TEXT = next(name for name in sorted(SAMPLE.required) if isinstance(SAMPLE.accepted[name][0], str))
BODY = {name: SAMPLE.accepted[name][0] for name in sorted(SAMPLE.required)}
VALUES = BODY
FILTER = next(
    (
        {given.name: SAMPLE.accepted[given.column.key][-1]}
        for given in Repository.filters
        if given.operator is eq and given.unindexed
    ),
    {},
)


def create(client: httpx2.Client, /, **fields: Any) -> dict[str, Any]:
    return SAMPLE.create(client, **fields)
