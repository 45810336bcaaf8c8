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
    key = case.headers.get("Idempotency-Key")
    if key and KEY.fullmatch(key):
        case.headers["Idempotency-Key"] = f'"{uuid4()}"'
