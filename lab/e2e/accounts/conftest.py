"""Fixtures for the tests of accounts."""

from collections.abc import Iterator
from functools import partial

import pytest
from playwright.sync_api import Browser

from lab.e2e.accounts.project import ACCOUNTS, Accounts, Browse, running_accounts
from lab.e2e.browser_user import browsing
from lab.e2e.project_factory import ProjectFactory


@pytest.fixture(scope="session", params=ACCOUNTS, ids="-".join)
def accounts(request: pytest.FixtureRequest, factory: ProjectFactory) -> Iterator[Accounts]:
    """A running project with email and sign-in with Google and GitHub."""
    with running_accounts(factory, *request.param) as accounts:
        yield accounts


@pytest.fixture(scope="module")
def chromium_flags(accounts: Accounts) -> tuple[str, ...]:
    return accounts.chromium_flags


@pytest.fixture
def browse(browser: Browser, accounts: Accounts, axe: str) -> Browse:
    """`with browse(user) as browser_user`: fails at the end if the console had an error in it."""
    return partial(browsing, browser, accounts.stack, axe)
