"""The composition root: create all parts of the service and connect them."""

import gc

# Imports create almost no garbage, but looking for it takes a tenth of the startup time.
# `create_app` enables the collector again.
gc.disable()

import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware

from app.config import PROJECT, ConfigurationError, Settings
from app.database import Database
from app.logging import configure_logging
from app.middleware import Authentication, CrossOrigin, Deadline, RequestContext, RootPath
from app.openapi import complete_openapi
from app.problems import handle_error
from app.routers import api_routes, health, scopes
from app.routers.api import PREFIX
from app.routers.json_body import MAX_BODY_BYTES
from app.routers.resource_metadata import MetadataLocation, resource_metadata_router
from app.security.keys import key_source
from app.security.verifier import TokenVerifier
from app.server.http_protocol import replace_uvicorns_protocols
from app.server.lifecycle import draining

if TYPE_CHECKING:
    from app.middleware.rate_limit import RateLimiter

TRACING_HEADERS = ["traceparent", "tracestate", "baggage", "sentry-trace"]  # from browsers
ALLOWED_HEADERS = ["Authorization", "Content-Type", "Idempotency-Key", "If-Match", "X-Request-ID"]
EXPOSED_HEADERS = ["ETag", "Location", "Retry-After", "WWW-Authenticate", "X-Request-ID"]


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the ASGI application. Settings come from the environment unless they are passed.

    Raises SystemExit, with one line that names the variable, if a setting is missing or invalid.
    """
    try:
        settings = settings or Settings.load()
        limiter = rate_limiter(settings)
    except ConfigurationError as error:
        raise SystemExit(str(error)) from None
    configure_logging()
    replace_uvicorns_protocols()  # however the server was started
    database = Database(settings)
    metadata_location = MetadataLocation(settings.jwt_audience)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        def start_draining() -> None:
            app.state.draining = True

        database.trace()
        with draining(settings.drain_seconds, start_draining):
            yield
        await database.close()

    pyproject = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    app = FastAPI(
        title=pyproject["tool"]["service"]["title"],
        description=pyproject["project"]["description"],
        version=pyproject["project"]["version"],
        lifespan=lifespan,
        # Takes effect if OTEL_EXPORTER_OTLP_ENDPOINT is set. Logs are not exported.
        telemetry={"auto_configure": True, "logs": False},
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        exception_handlers={HTTPException: handle_error, RequestValidationError: handle_error},
        middleware=[
            *([Middleware(RootPath, prefix=settings.root_path)] if settings.root_path else []),
            Middleware(RequestContext),
            Middleware(
                CrossOrigin,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST", "PATCH", "DELETE"],
                allow_headers=[*ALLOWED_HEADERS, *TRACING_HEADERS],
                expose_headers=EXPOSED_HEADERS,
            ),
            Middleware(Deadline, seconds=settings.request_timeout_seconds),
            # FastAPI's own exception handlers run inside of `Authentication`.
            Middleware(ExceptionMiddleware, handlers={Exception: handle_error}),
            Middleware(
                Authentication,
                verifier=token_verifier(settings),
                prefix=PREFIX,
                rate_limiter=limiter,
            ),
        ],
        # `include_router` would match each path twice, which takes a fifth more CPU time.
        routes=[*api_routes()],
    )
    app.state.database = database
    app.state.draining = False
    app.state.metadata_location = metadata_location
    app.include_router(health.router)
    app.include_router(resource_metadata_router(settings, metadata_location, scopes()))
    # For routes that are added later. The API's routes check their bodies themselves, and the other
    # routes so far read none.
    app.router.max_body_size = MAX_BODY_BYTES
    complete_openapi(app)
    # The objects so far are permanent, and requests create few cycles. With Python's default, the
    # collector would run every 700 objects and take 4 % of the CPU time.
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


def rate_limiter(settings: Settings) -> "RateLimiter | None":
    """Return the rate limiter, if there is a limit."""
    if not settings.rate_limit:
        return None
    # Imported here, because the import is slow and most services have no limit.
    from app.middleware.rate_limit import RateLimiter

    return RateLimiter(settings.rate_limit, settings.rate_limit_storage_url.get_secret_value())
