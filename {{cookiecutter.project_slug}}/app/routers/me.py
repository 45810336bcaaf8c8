from typing import Annotated

from fastapi import APIRouter, Depends, Response

from app.dependencies import owned
from app.repositories.owned import Belongings

router = APIRouter(prefix="/me", tags=["me"])


@router.delete("", status_code=204, response_class=Response)
async def delete_me(belongings: Annotated[Belongings, Depends(owned(Belongings))]) -> None:
    """Erase everything the service holds of the caller, as when their account is deleted."""
    await belongings.erase()
