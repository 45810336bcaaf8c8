"""A resource by which the tests try what all resources share. Any would do that has a text.

`BODY` and `VALUES` suffice to create one; `TEXT` is a text field in them, and `FILTER` what its
list can be filtered by.
"""

from operator import eq
from typing import Any, get_args

import httpx2

from tests.resources import RESOURCES

SAMPLE = next(
    each
    for each in RESOURCES
    if each.required <= each.accepted.keys()  # it need not refer to another resource
    and any(isinstance(each.accepted[name][0], str) for name in each.required)
)
PATH = SAMPLE.path
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
