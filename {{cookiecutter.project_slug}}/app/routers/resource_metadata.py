"""Tell OAuth clients which authorization server issues tokens for this service (RFC 9728)."""

import re
from collections.abc import Iterable

from fastapi import APIRouter
from starlette.requests import HTTPConnection
from starlette.types import Scope
from typing_extensions import TypedDict

from app.config import Settings, browser_origin

WELL_KNOWN = "/.well-known/oauth-protected-resource"
# A slash right after the host is not part of the path.
URL = re.compile(r"(?i:https?)://[^/?#]+(?:/|(/[\w.~!$&'()*+,;=:@/-]+))?", re.ASCII)


class ResourceMetadata(TypedDict):
    """OAuth 2.0 protected resource metadata (RFC 9728, section 2)."""

    resource: str
    authorization_servers: list[str]
    scopes_supported: list[str]
    bearer_methods_supported: list[str]


class MetadataLocation:
    """Where clients find the metadata of `resource`, which is `JWT_AUDIENCE`.

    If it is a URL, its path is appended to the well-known one (RFC 9728, section 3.1).
    """

    def __init__(self, resource: str) -> None:
        url = URL.fullmatch(resource)
        self._origin = browser_origin(resource) if url else None
        self.path = WELL_KNOWN + (url[1] or "" if url and self._origin else "")

    def url(self, scope: Scope) -> str:
        """Return the public URL. If the resource is not a URL, use the base URL of the request."""
        return (self._origin or str(HTTPConnection(scope).base_url).rstrip("/")) + self.path


def resource_metadata_router(
    settings: Settings, location: MetadataLocation, scopes: Iterable[str]
) -> APIRouter:
    """Return a router that serves the metadata, open to everybody."""
    router = APIRouter(tags=["metadata"])
    metadata = ResourceMetadata(
        resource=settings.jwt_audience,
        authorization_servers=[settings.better_auth_url],
        scopes_supported=sorted(scopes),
        bearer_methods_supported=["header"],
    )

    @router.get(location.path)
    async def get_resource_metadata() -> ResourceMetadata:
        """Return the authorization server that issues tokens for this service, and their scopes."""
        return metadata

    return router
