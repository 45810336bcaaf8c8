"""Hooks that change the requests of Schemathesis."""

from typing import Any
from uuid import uuid4

import schemathesis

from app.routers.idempotency import KEY


@schemathesis.hook
def before_call(_: schemathesis.HookContext, case: schemathesis.Case[Any], **__: Any) -> None:
    """Replace each well-formed Idempotency-Key with a new one.

    Schemathesis repeats keys with other bodies, and yet expects each valid request to succeed.
    """
    if case.meta is None or case.meta.generation.mode.is_negative:
        # Changing such a case makes Schemathesis add the very header that the case omits.
        return
    key = case.headers.get("Idempotency-Key")
    if key and KEY.fullmatch(key):
        case.headers["Idempotency-Key"] = f'"{uuid4()}"'


# These headers say where a message ends. The HTTP parser rejects wrong values in plain text, before
# there is an operation to document that. Hypothesis tries such names because it takes words from
# the code of this project.
FRAMING = ("Content-Length", "Expect", "Host", "Transfer-Encoding", "Upgrade")


@schemathesis.hook("before_call")
def remove_framing(_: schemathesis.HookContext, case: schemathesis.Case[Any], **__: Any) -> None:
    for name in FRAMING:
        case.headers.pop(name, None)
