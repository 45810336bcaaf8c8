"""The composition root, which creates all parts of the service and connects them."""

import gc

# Imports leave no garbage, and searching for it takes a tenth of the start. `create_app` enables
# the collector again.
gc.disable()

import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NoReturn
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import Receive, Scope, Send

from app.config import PROJECT, ConfigurationError, Settings
from app.database import Database
from app.http_protocol import replace_uvicorns_protocols
from app.lifecycle import draining
from app.logging import configure_logging
from app.middleware import (
    Authentication,
    Count,
    CrossOrigin,
    Deadline,
    ErrorBoundary,
    RequestContext,
)
from app.openapi import complete
from app.routers import health, include_api, scopes
from app.routers.api import PREFIX
from app.routers.json_body import MAX_BODY_BYTES
from app.routers.resource_metadata import MetadataLocation, resource_metadata_router
from app.security.keys import key_source
from app.security.verifier import TokenVerifier

ALLOWED_HEADERS = [
    *("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "X-Request-ID"),
    *("traceparent", "tracestate", "baggage", "sentry-trace"),  # for tracing in browsers
]
EXPOSED_HEADERS = ["ETag", "Location", "Retry-After", "WWW-Authenticate", "X-Request-ID"]


class Service(FastAPI):
    stripped_prefix = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Restore the prefix that a proxy has stripped, as ASGI requires.

        Starlette removes `root_path` from every path that begins with it. If the prefix were not
        restored, `/api/v1/tasks` behind the prefix `/api` would become `/v1/tasks`. A server with a
        root path of its own has already restored it.
        """
        if self.stripped_prefix and "path" in scope and not scope.get("root_path"):
            prefix, path = self.stripped_prefix, scope["path"]
            raw_path = scope.get("raw_path") or quote(path).encode()
            scope["root_path"] = prefix
            if path.startswith("/"):  # `OPTIONS *` has no path
                scope.update(path=prefix + path, raw_path=prefix.encode() + raw_path)
        await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, with what FastAPI cannot know."""
        document = super().openapi()
        complete(document)
        return document


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service as an ASGI application; `settings` come from the environment unless given.

    Raises SystemExit, with one line that names the variable, if a setting is missing or wrong.
    """
    try:
        settings = settings or Settings.load()
        count = _count(settings)
    except ConfigurationError as error:
        raise SystemExit(str(error)) from None
    configure_logging()
    replace_uvicorns_protocols()
    database = Database(settings)
    metadata = MetadataLocation(settings.jwt_audience)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database.trace()
        with draining(settings.drain_seconds, partial(setattr, app.state, "draining", True)):
            yield
        await database.close()

    pyproject = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    app = Service(
        title=pyproject["tool"]["service"]["title"],
        description=pyproject["project"]["description"],
        version=pyproject["project"]["version"],
        lifespan=lifespan,
        # Once OTEL_EXPORTER_OTLP_ENDPOINT is set; the logs go another way.
        telemetry={"auto_configure": True, "logs": False},
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        exception_handlers={HTTPException: _pass_on, RequestValidationError: _pass_on},
        middleware=[
            Middleware(RequestContext),
            Middleware(
                CrossOrigin,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST", "PATCH", "DELETE"],
                allow_headers=ALLOWED_HEADERS,
                expose_headers=EXPOSED_HEADERS,
            ),
            Middleware(Deadline, seconds=settings.request_timeout_seconds),
            Middleware(ErrorBoundary, metadata_url=metadata.url),
            Middleware(
                Authentication, verifier=token_verifier(settings), prefix=PREFIX, count=count
            ),
        ],
    )
    app.stripped_prefix = settings.root_path
    app.state.database = database
    app.state.draining = False
    include_api(app)
    app.include_router(health.router)
    app.include_router(resource_metadata_router(settings, metadata, scopes()))
    # For routes that are added later. The API's routes check their bodies themselves, and the other
    # routes so far read none.
    app.router.max_body_size = MAX_BODY_BYTES
    # Objects that exist by now stay, and requests create few cycles. Python's default, a collection
    # every 700 objects, would take 4 % of the time.
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    gc.enable()
    return app


def token_verifier(settings: Settings) -> TokenVerifier:
    return TokenVerifier(
        key_source(settings),
        issuer=settings.better_auth_url,
        audience=settings.jwt_audience,
        leeway=settings.jwt_leeway_seconds,
    )


def _count(settings: Settings) -> Count | None:
    if not settings.rate_limit:
        return None
    # Here, because few need it, and it takes long to import.
    from app.rate_limit import RateLimiter

    return RateLimiter(
        settings.rate_limit, settings.rate_limit_storage_url.get_secret_value()
    ).count


async def _pass_on(_: Request, error: Exception) -> NoReturn:
    """Leave it to ErrorBoundary, where every error takes its shape."""
    raise error
