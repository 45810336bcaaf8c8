"""What the service refuses on purpose: one family, one shape, one place (RFC 9457)."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

from starlette.exceptions import HTTPException
from starlette.responses import Response

CHALLENGE = 'Bearer realm="api"'


class ServiceError(Exception):
    """An answer other than success.

    `detail` is for the caller: no input, path, SQL or stack. `reason` is for the log.
    """

    status: ClassVar[HTTPStatus]

    def __init__(
        self, detail: str, headers: Mapping[str, str] | None = None, reason: str | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = headers
        self.reason = reason


class InvalidRequest(ServiceError):
    """The request cannot be read at all."""

    status = HTTPStatus.BAD_REQUEST


class Unauthenticated(ServiceError):
    """Nobody known is calling (RFC 6750, section 3).

    Every refused token gets the same answer; `reason` names the rule it broke. Without a
    reason, there were no credentials at all.
    """

    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, reason: str | None = None) -> None:
        if reason is None:
            detail, challenge = "A bearer token is required.", CHALLENGE
        else:
            detail = "The token is not valid, or no longer."
            challenge = f'{CHALLENGE}, error="invalid_token", error_description="{detail}"'
        super().__init__(detail, {"WWW-Authenticate": challenge}, reason)


class NotFound(ServiceError):
    """There is no such thing, or none that belongs to the caller: nobody can tell which."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("There is nothing here.")


class PreconditionFailed(ServiceError):
    """`If-Match` names a version that is no longer the current one (RFC 9110, section 13.1.1)."""

    status = HTTPStatus.PRECONDITION_FAILED

    def __init__(self) -> None:
        super().__init__("It has changed since that version: fetch it and decide again.")


class UnsupportedMediaType(ServiceError):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE

    def __init__(self) -> None:
        super().__init__("Send JSON, as one Content-Type: application/json.")


class Unavailable(ServiceError):
    """Something the service needs is away for now; the same request may work later."""

    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, detail: str, reason: str, retry_after: int = 1) -> None:
        """`retry_after` is in whole seconds."""
        super().__init__(detail, {"Retry-After": str(retry_after)}, reason)


class ContentTooLarge(HTTPException):
    """Raised while a body is read: FastAPI lets only its own kind of error out from there."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is over 64 KiB.")


def problem(
    status: int,
    detail: str,
    request_id: str,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response:
    """An `application/problem+json` answer; `members` extend it."""
    status = HTTPStatus(status)
    body = {"type": "about:blank", "title": status.phrase, "status": int(status)}
    body |= {"detail": detail, "request_id": request_id, **members}
    # ASCII only: text from a request may hold lone surrogates, which UTF-8 cannot carry.
    content = json.dumps(body)
    return Response(content, status, headers, media_type="application/problem+json")


PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "description": "With 422: the rules that were broken, and where.",
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
                    "msg": {"type": "string"},
                    "type": {"type": "string"},
                },
                "required": ["loc", "msg", "type"],
            },
        },
    },
    "required": ["type", "title", "status", "detail", "request_id"],
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What `responses=` of a route or router says of these statuses in the OpenAPI document."""
    content = {"application/problem+json": {"schema": PROBLEM_SCHEMA}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in statuses
    }
