"""Pages of the production build have Lighthouse's highest scores, and stay small.

Performance is not tested, because it depends on the machine: `make lighthouse` measures it.
"""

import pytest

from lab.e2e.lighthouse import EXACT, LIMIT, PAGES, Audit, Lighthouse
from lab.e2e.project_factory import ProjectFactory
from lab.e2e.stack import COMBINATIONS, Stack

pytestmark = pytest.mark.parametrize(
    "stack", COMBINATIONS[:1], indirect=True, ids="-".join, scope="session"
)


@pytest.fixture(scope="module")
def audits(stack: Stack, factory: ProjectFactory) -> dict[str, Audit]:
    audited = Lighthouse(factory).audit(stack, PAGES)
    return {path: audit for path, [audit] in audited.items()}


@pytest.mark.parametrize("path", PAGES)
def test_page_has_the_highest_scores_and_is_small(audits: dict[str, Audit], path: str) -> None:
    audit = audits[path]

    assert audit.failed == []
    assert audit.scores == dict.fromkeys(EXACT, 100)
    assert audit.kibibytes <= LIMIT
