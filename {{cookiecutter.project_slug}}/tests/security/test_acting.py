"""Code that has no token can act for a user, and each use is logged."""

import pytest
from structlog.testing import capture_logs

from app.security.acting import acting_as


def test_acting_as_a_user_writes_a_log_line() -> None:
    with capture_logs() as lines:
        user = acting_as("ann", reason="nightly summary")

    assert user.id == "ann"
    assert lines == [
        {"event": "acting_as", "user": "ann", "reason": "nightly summary", "log_level": "info"}
    ]


@pytest.mark.parametrize(
    "user_id",
    ["", " ", " ann", "ann\n", "a\0b", "\ud800", "x" * 256, None, 1, b"ann", ["ann"]],
    ids=repr,
)
def test_id_that_no_token_could_have_raises_value_error(user_id: str) -> None:
    with pytest.raises(ValueError, match="user_id"):
        acting_as(user_id, reason="a test")


@pytest.mark.parametrize("reason", ["", " "])
def test_acting_without_a_reason_raises_value_error(reason: str) -> None:
    with pytest.raises(ValueError, match="reason"):
        acting_as("ann", reason=reason)
