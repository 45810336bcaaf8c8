"""Answers with a body."""

from collections.abc import Mapping
from typing import Any

from fastapi import Response
from pydantic import TypeAdapter


def json(
    shape: TypeAdapter[Any],
    value: Mapping[str, Any],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """`value` as JSON, with the members that `shape` has and no others.

    It is not validated: the database has returned it. FastAPI would, and take twice as long.
    """
    return Response(shape.dump_json(value), status, headers, "application/json")
