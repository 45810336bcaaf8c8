"""For load balancers and orchestrators: open to everybody, and says nothing worth knowing."""

from fastapi import APIRouter, Request

from app.errors import problems

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live")
async def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/ready", responses=problems(503))
async def ready(request: Request) -> dict[str, str]:
    """The database answers too."""
    await request.app.state.database.ping()
    return {"status": "ok"}
