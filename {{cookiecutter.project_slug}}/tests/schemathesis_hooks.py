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
