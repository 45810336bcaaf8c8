"""Health checks for load balancers and orchestrators. They need no token."""

from fastapi import APIRouter, Request

from app.errors import Unavailable
from app.problems import problems

router = APIRouter(prefix="/health", tags=["health"])


# HEAD is left out of the OpenAPI document, where it would need operations with their own names.
@router.head("/live", include_in_schema=False)
@router.get("/live")
async def live() -> dict[str, str]:
    """Report that the process responds."""
    return {"status": "ok"}


@router.head("/ready", include_in_schema=False)
@router.get("/ready", responses=problems(503))
async def ready(request: Request) -> dict[str, str]:
    """Report that the database responds, too, and that the process is not shutting down."""
    if request.app.state.draining:
        raise Unavailable("draining")
    await request.app.state.database.ping()
    return {"status": "ok"}
