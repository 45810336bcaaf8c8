"""What the handwritten APIs on FastAPI and Starlette share: the caller, and JSON responses."""

from typing import Any

import jwt
from bearer import subject
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response


def owner(request: Request) -> str:
    _, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        return subject(token)
    except jwt.PyJWTError:
        raise HTTPException(401) from None


def answer(value: Any, status: int = 200) -> Response:
    return Response(to_json(value), status, media_type="application/json")
