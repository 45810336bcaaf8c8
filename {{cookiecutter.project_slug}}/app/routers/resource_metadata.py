"""Tell OAuth clients which authorization server issues tokens for this service (RFC 9728)."""

import re
from urllib.parse import unquote

from fastapi import APIRouter
from starlette.requests import HTTPConnection
from starlette.types import Scope
from typing_extensions import TypedDict

from app.config import Settings

WELL_KNOWN = "/.well-known/oauth-protected-resource"
URL = re.compile(r"(?P<origin>https?://[\w.:\[\]-]+)(?P<path>/[\w.~!$&'()*+,;=:@%/-]*)?", re.ASCII)


class ResourceMetadata(TypedDict):
    """OAuth 2.0 protected resource metadata (RFC 9728, section 2)."""

    resource: str
    authorization_servers: list[str]
    scopes_supported: list[str]
    bearer_methods_supported: list[str]


def resource_metadata_router(settings: Settings, scopes: set[str]) -> APIRouter:
    """Return a router that serves the metadata, open to everybody.

    If `JWT_AUDIENCE` is a URL, its path follows the well-known one (RFC 9728, section 3.1).
    """
    router = APIRouter(tags=["metadata"])
    metadata = ResourceMetadata(
        resource=settings.jwt_audience,
        authorization_servers=[settings.better_auth_url],
        scopes_supported=sorted(scopes),
        bearer_methods_supported=["header"],
    )

    @router.get(WELL_KNOWN + unquote(_path(settings.jwt_audience)))
    async def get_resource_metadata() -> ResourceMetadata:
        """Return which authorization server issues tokens for this service, and their scopes."""
        return metadata

    return router


class MetadataUrl:
    """The public URL of the metadata."""

    def __init__(self, audience: str) -> None:
        parts = URL.fullmatch(audience)
        self._url = f"{parts['origin']}{WELL_KNOWN}{_path(audience)}" if parts else None

    def __call__(self, scope: Scope) -> str:
        """If the audience is not a URL, it begins with the URL of the request."""
        return self._url or f"{HTTPConnection(scope).base_url}".rstrip("/") + WELL_KNOWN


def _path(audience: str) -> str:
    parts = URL.fullmatch(audience)
    path = parts["path"] if parts else None
    return path if path and path != "/" else ""
