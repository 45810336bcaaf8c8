"""What an answer may say when the service cannot do its work."""

from collections.abc import Iterable

from lab.faults.client import Answer

MAX_SECONDS = 5
MEMBERS = {"type", "title", "status", "detail", "request_id"}
TELLTALES = (
    *("select", "insert", "update ", "tasks", "sql", "postgres", "asyncpg", "aiosqlite"),
    *("127.0.0.1", "localhost", "/", "traceback", "errno", "disk", "lock", "pool", "timeout"),
)


def assert_unavailable(answers: Iterable[Answer]) -> None:
    """503, in time, as RFC 9457 has it, and without a word about what is behind the service."""
    for answer in answers:
        assert answer.status == 503, answer
        assert answer.seconds < MAX_SECONDS, answer
        headers, problem = dict(answer.headers), answer.json()
        assert headers.pop("content-type") == "application/problem+json", answer
        assert int(headers["retry-after"]) >= 1, answer
        assert problem.keys() == MEMBERS, answer
        said = " ".join(map(str, [*headers, *headers.values(), *problem.values()])).lower()
        assert not [telltale for telltale in TELLTALES if telltale in said], answer
