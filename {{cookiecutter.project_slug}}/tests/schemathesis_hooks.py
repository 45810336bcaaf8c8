"""Changes to what Schemathesis generates."""

from typing import Any
from uuid import uuid4

import schemathesis

from app.routers.idempotency import KEY


@schemathesis.hook
def before_call(_: schemathesis.HookContext, case: schemathesis.Case[Any], **__: Any) -> None:
    """Replace well-formed keys with new ones.

    Schemathesis expects each valid request to take effect, but repeats keys with other bodies.
    """
    if case.meta is None or case.meta.generation.mode.is_negative:
        # If the case is changed, Schemathesis adds the header that this case is meant to omit.
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
