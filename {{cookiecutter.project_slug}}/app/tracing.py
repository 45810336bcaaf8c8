"""Database spans. OpenTelemetry's own instrumentation does not support SQLAlchemy 2.1."""

from collections.abc import Sequence
from typing import Any

from opentelemetry.trace import SpanKind, Status, StatusCode, get_tracer

from app.engine import DIALECT, Fetch


def traced(fetch: Fetch) -> Fetch:
    """Return a `fetch` that records a span for each statement, without its arguments.

    Names follow the semantic conventions for database spans.
    """
    tracer = get_tracer(__name__)

    async def fetch_in_span(sql: str, arguments: Sequence[Any], *, reads: bool) -> Sequence[Any]:
        with tracer.start_as_current_span(
            sql.partition(" ")[0],
            kind=SpanKind.CLIENT,
            attributes={"db.system.name": DIALECT.name, "db.query.text": sql},
            record_exception=False,  # its message may contain an argument
            set_status_on_exception=False,
        ) as span:
            try:
                return await fetch(sql, arguments, reads=reads)
            except Exception as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
                raise

    return fetch_in_span
