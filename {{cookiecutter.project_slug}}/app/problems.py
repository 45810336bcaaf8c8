"""Error responses, all in one format: problem details (RFC 9457)."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel
from starlette._utils import get_route_path
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from app.errors import ServiceError

log = structlog.get_logger()


class Problem(BaseModel):
    """The body of every error response. For a 422, `errors` lists the invalid fields and why."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[dict[str, Any]] | None = None


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return `responses=` for a route or router, to document these statuses in OpenAPI."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in statuses
    }


async def handle_error(request: Request, error: Exception) -> Response:
    """Handle any exception, as an exception handler of Starlette."""
    if request.scope["type"] != "http":
        raise error  # the server closes the WebSocket
    return problem_response(error, request.scope)


def problem_response(error: Exception, scope: Scope) -> Response:
    """Return the response to an exception, and store its reason for the log.

    Unexpected exceptions become a 500 without details.
    """
    status, detail, headers, errors = 500, "Internal server error.", {}, None
    if isinstance(error, ServiceError):
        status, detail, headers = error.status, error.detail, {**(error.headers or {})}
        scope["state"]["reason"] = error.reason
        if error.challenge is not None:
            headers["WWW-Authenticate"] = _challenge(error.challenge, scope)
    elif isinstance(error, RequestValidationError):
        status, detail, errors = 422, "The request is not valid: see errors.", _errors(error)
    elif isinstance(error, HTTPException):
        status, detail, headers = error.status_code, error.detail, {**(error.headers or {})}
        if status == HTTPStatus.METHOD_NOT_ALLOWED and (allowed := _allowed_methods(scope)):
            headers["Allow"] = allowed
    else:
        log.error("unhandled", exc_info=error)
    problem = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        request_id=scope["state"]["request_id"],
        errors=errors,
    )
    # ASCII only: input from a request may have lone surrogates, which UTF-8 cannot encode.
    content = json.dumps(problem.model_dump(exclude_none=True))
    return Response(content, status, headers, media_type="application/problem+json")


def _challenge(parameters: Mapping[str, str], scope: Scope) -> str:
    """Return a challenge with the URL of the resource metadata (RFC 9728, section 5)."""
    location = scope["app"].state.metadata_location
    parameters = {"realm": "api", **parameters, "resource_metadata": location.url(scope)}
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parameters.items())


def _errors(error: RequestValidationError) -> list[dict[str, Any]]:
    """Return the invalid fields and the reasons, without the input."""
    return [
        {
            # The name of an unknown field is input, too, so `loc` is the object that contains it.
            "loc": item["loc"][:-1] if item["type"] == "extra_forbidden" else item["loc"],
            "msg": item["msg"].partition(", ")[0],  # pydantic quotes the input after the comma
            "type": item["type"],
        }
        for item in error.errors()
    ]


def _allowed_methods(scope: Scope) -> str:
    """Return the methods of all routes that match the path. Starlette lists those of one route.

    Return "" for a path in a mount, whose routes are not those of the app.
    """
    if "app_root_path" in scope:  # as Starlette's `Mount` sets it
        return ""
    path, routes = get_route_path(scope), iter_route_contexts(scope["app"].routes)
    methods = [each.methods for each in routes if each.methods and each.path_regex.match(path)]
    return ", ".join(sorted(set[str]().union(*methods)))
