"""Fixtures for the tests of accounts."""

from collections.abc import Iterator
from functools import partial

import pytest
from playwright.sync_api import Browser

from lab.e2e.accounts.project import ACCOUNTS, Accounts, Visit, running_accounts
from lab.e2e.visitor import visiting
from lab.e2e.workshop import Workshop


@pytest.fixture(scope="session", params=ACCOUNTS, ids="-".join)
def accounts(request: pytest.FixtureRequest, workshop: Workshop) -> Iterator[Accounts]:
    """A running project with email and sign-in with Google and GitHub."""
    with running_accounts(workshop, *request.param) as accounts:
        yield accounts


@pytest.fixture(scope="module")
def chromium_flags(accounts: Accounts) -> tuple[str, ...]:
    return accounts.chromium_flags


@pytest.fixture
def visit(browser: Browser, accounts: Accounts, axe: str) -> Visit:
    """`with visit(person) as visitor`: fails at the end if the console had an error in it."""
    return partial(visiting, browser, accounts.stack, axe)
