"""Logs: one JSON object per line, or colored text on a terminal.

They never contain a token, a secret or a query string.
"""

import json
import logging
import sys
from typing import Any

import structlog
from pydantic_core import PydanticSerializationError, to_json
from structlog.typing import Processor


def configure_logging() -> None:
    """Log to standard error, from level info, and make the libraries do the same."""
    if sys.stderr.isatty():
        render: list[Processor] = [
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        ]
    else:
        # A traceback is plain text: the structured one shows local variables, tokens among them.
        render = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_json)]
    context: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*context, *render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )

    libraries = logging.StreamHandler(sys.stderr)
    libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=context,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    logging.getLogger().handlers = [libraries]
    server = logging.getLogger("uvicorn")
    server.setLevel(logging.INFO)
    server.propagate = True
    server.handlers = []
    # uvicorn's lines contain query strings, which may contain tokens. The service logs requests.
    logging.getLogger("uvicorn.access").disabled = True


def _json(event: dict[str, Any], **_: Any) -> str:
    """Return one line of ASCII, so that no value can imitate a second line.

    pydantic takes a fifth of the time of `json`, but does not escape. Most lines are ASCII anyway.
    """
    try:
        line = to_json(event, serialize_unknown=True)
        if line.isascii():
            return line.decode()
    except PydanticSerializationError:
        pass  # text with lone surrogates
    return json.dumps(event, default=repr, skipkeys=True, separators=(",", ":"))
