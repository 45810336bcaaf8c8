"""For load balancers and orchestrators: open to everybody, and says nothing worth knowing."""

from fastapi import APIRouter, Request

from app.errors import Unavailable, problems

router = APIRouter(prefix="/health", tags=["health"])


# HEAD is left out of the OpenAPI document, where it would need operations with their own names.
@router.head("/live", include_in_schema=False)
@router.get("/live")
async def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.head("/ready", include_in_schema=False)
@router.get("/ready", responses=problems(503))
async def ready(request: Request) -> dict[str, str]:
    """The database answers too, and the process is not about to end."""
    if request.app.state.draining:
        raise Unavailable("draining")
    await request.app.state.database.ping()
    return {"status": "ok"}
