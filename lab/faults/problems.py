"""Check error responses during faults."""

from collections.abc import Iterable

from lab.faults.client import Response

MAX_SECONDS = 5
MEMBERS = {"type", "title", "status", "detail", "request_id"}
TELLTALES = (
    *("select", "insert", "update ", "tasks", "sql", "postgres", "asyncpg", "aiosqlite"),
    *("127.0.0.1", "localhost", "/", "traceback", "errno", "disk", "lock", "pool", "timeout"),
)


def assert_unavailable(answers: Iterable[Response]) -> None:
    """Check that all are 503 in time, as problem+json, without details of the fault."""
    for answer in answers:
        assert answer.status == 503, answer
        assert answer.seconds < MAX_SECONDS, answer
        headers, problem = dict(answer.headers), answer.json()
        assert headers.pop("content-type") == "application/problem+json", answer
        assert int(headers["retry-after"]) >= 1, answer
        assert problem.keys() == MEMBERS, answer
        said = " ".join(map(str, [*headers, *headers.values(), *problem.values()])).lower()
        assert not [telltale for telltale in TELLTALES if telltale in said], answer
