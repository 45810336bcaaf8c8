"""One JSON object a line, or colours on a terminal; never a token, a secret or a query string."""

import logging
import sys

import structlog
from structlog.typing import Processor


def configure_logging() -> None:
    """Set up structlog for the process: to standard error, from `info` up."""
    if sys.stderr.isatty():
        render: list[Processor] = [
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        ]
    else:
        # A traceback is plain text: the structured one shows local variables, tokens among them.
        render = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    # Its lines show query strings, where somebody may have put a token; the service writes its own.
    logging.getLogger("uvicorn.access").disabled = True
