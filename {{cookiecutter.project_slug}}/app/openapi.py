"""Complete the OpenAPI document with information that FastAPI does not have."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from app.etags import ENTITY_TAG
from app.problems import Problem, problems
from app.routers.idempotency import KEY

BEARER = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "Issued by Better Auth, and verified by the rules of RFC8725. Applications need "
    "the scopes listed for an operation.",
}
IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": "The `ETag` of the version to change. If the resource has another version by "
    "now, the response is 412 and nothing changes. Separate several ETags with commas. Without the "
    "header, or with `*`, any version matches.",
    "schema": {"type": "string", "pattern": rf"^(\*|{ENTITY_TAG}([ \t]*,[ \t]*{ENTITY_TAG})*)$"},
    "example": '"1"',
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Makes it safe to send the request again if no response arrived. A repetition "
    "with the same key gets the response of the first request, and changes nothing. While the "
    "first request is being processed, the response is 409 with `Retry-After`. If the key was used "
    "for another request, it is 422 with the error type `idempotency_key_reused`. The key is a "
    "string in double quotes, such as a UUID, and is kept for a day.",
    "schema": {"type": "string", "pattern": rf"^({KEY.pattern})$"},
}
HEADERS: dict[str, dict[str, Any]] = {
    "Allow": {
        "description": "The methods that this path supports.",
        "schema": {"type": "string"},
    },
    "ETag": {
        "description": "The version of the resource, for `If-Match`.",
        "schema": {"type": "string", "pattern": '^"[1-9][0-9]*"$'},
    },
    "Location": {
        "description": "The path of the new resource.",
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Retry-After": {
        "description": "Seconds to wait before sending the request again.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {
        "description": "Which credentials are required (RFC 6750, section 3).",
        "schema": {"type": "string"},
    },
    "X-Request-ID": {
        "description": "Identifies the request in the log. It is the `X-Request-ID` of the "
        "request, if that is well-formed.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
    },
}
HEADERS_BY_STATUS = {
    "201": ["Location"],
    "400": ["WWW-Authenticate"],
    "401": ["WWW-Authenticate"],
    "403": ["WWW-Authenticate"],
    "405": ["Allow"],
    "429": ["Retry-After"],
    "503": ["Retry-After"],
}

Schema = dict[str, Any]


def complete_openapi(app: FastAPI) -> None:
    """Make `app` complete its OpenAPI document with information that FastAPI does not have."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        _complete(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI documents it


def _complete(document: dict[str, Any]) -> None:
    """Add the bearer scheme, the schema of errors, and the headers of requests and responses.

    An operation that documents 412 accepts `If-Match`. A POST that needs a token accepts an
    `Idempotency-Key`, and returns 409 while that key is in use. A response has an `ETag` if its
    body has a `version`.
    """
    components = document["components"]
    components["securitySchemes"] = {"HTTPBearer": BEARER}
    components["schemas"]["Problem"] = Problem.model_json_schema()
    components["parameters"] = {"IdempotencyKey": IDEMPOTENCY_KEY, "IfMatch": IF_MATCH}
    components["headers"] = HEADERS
    operations = [each for path in document["paths"].values() for each in path.values()]
    tags = dict.fromkeys(tag for operation in operations for tag in operation.get("tags", ()))
    document["tags"] = [{"name": tag} for tag in tags]
    for path in document["paths"].values():
        for method, operation in path.items():
            if method == "post" and "security" in operation:
                _add_parameter(operation, "IdempotencyKey")
                headers = {"Retry-After": _reference("headers", "Retry-After")}
                operation["responses"]["409"] = {**problems(409)[409], "headers": headers}
            if "412" in operation["responses"]:
                _add_parameter(operation, "IfMatch")
            _describe_headers(operation["responses"], components["schemas"])


def _add_parameter(operation: Schema, name: str) -> None:
    parameters = operation.setdefault("parameters", [])
    if (reference := _reference("parameters", name)) not in parameters:
        parameters.append(reference)


def _describe_headers(responses: Schema, schemas: Mapping[str, Schema]) -> None:
    for status, response in responses.items():
        names = [*HEADERS_BY_STATUS.get(status, ()), "X-Request-ID"]
        if _has_version(response, schemas):
            names.append("ETag")
        described = {name: _reference("headers", name) for name in sorted(names)}
        response["headers"] = described | response.get("headers", {})


def _has_version(response: Schema, schemas: Mapping[str, Schema]) -> bool:
    content: Schema = response.get("content", {})
    schema: Schema = content.get("application/json", {}).get("schema", {})
    name: str = schema.get("$ref", "").rpartition("/")[2]
    return "version" in schemas.get(name, schema).get("properties", {})


def _reference(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}
