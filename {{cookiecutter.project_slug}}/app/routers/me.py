from typing import Annotated

from fastapi import Depends, Response

from app.dependencies import owned
from app.repositories.user_data import UserData
from app.routers.api import api_router

router = api_router("/me", applications=False)


@router.delete("", status_code=204, response_class=Response)
async def delete_me(data: Annotated[UserData, Depends(owned(UserData))]) -> None:
    """Erase everything the service stores for the caller, as when their account is deleted."""
    await data.erase()
