"""Behavior that only tasks have."""

import httpx2

from tests.resources.task import TASKS


def test_title_is_trimmed(ann: httpx2.Client) -> None:
    assert TASKS.create(ann, title="  Buy milk\n")["title"] == "Buy milk"


def test_title_limit_applies_after_trimming(ann: httpx2.Client) -> None:
    title = "x" * 200

    assert TASKS.create(ann, title=f"\n {title}\t")["title"] == title
