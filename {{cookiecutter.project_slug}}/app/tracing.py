"""A span for each statement; OpenTelemetry's own package for this does not know SQLAlchemy 2.1."""

from typing import Any

from opentelemetry.trace import INVALID_SPAN, SpanKind, Status, StatusCode, get_tracer
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext


def trace_statements(engine: Engine) -> None:
    """Names follow the semantic conventions for database spans; parameters are left out."""
    tracer = get_tracer(__name__)

    @event.listens_for(engine, "before_cursor_execute", named=True)
    def begin(statement: str, context: Any, **_: Any) -> None:
        context.span = tracer.start_span(
            statement.partition(" ")[0],
            kind=SpanKind.CLIENT,
            attributes={"db.system.name": engine.dialect.name, "db.query.text": statement},
        )

    @event.listens_for(engine, "after_cursor_execute", named=True)
    def end(context: Any, **_: Any) -> None:
        context.span.end()

    @event.listens_for(engine, "handle_error")
    def fail(error: ExceptionContext) -> None:
        # Where there was no connection there is no statement either.
        span = getattr(error.execution_context, "span", INVALID_SPAN)
        span.set_attribute("error.type", type(error.original_exception).__name__)
        span.set_status(Status(StatusCode.ERROR))
        span.end()
