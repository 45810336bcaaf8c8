"""Dependencies of handlers. Handlers never get a connection or the id of a user."""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from starlette.types import Scope

from app.errors import Unauthenticated
from app.repositories.owned import Owned
from app.security.verifier import User

T = TypeVar("T", bound=Owned)


def verified_user(scope: Scope) -> User:
    """Return the caller. Raises Unauthenticated if the middleware has verified no token."""
    user = scope["state"].get("user")
    if not isinstance(user, User):
        raise Unauthenticated
    return user


async def current_user(request: Request) -> User:
    return verified_user(request.scope)


CurrentUser = Annotated[User, Depends(current_user)]


def owned(repository: type[T]) -> Callable[..., Awaitable[T]]:
    """Return a dependency that gives a handler this repository, bound to the caller."""

    async def bind(request: Request) -> T:
        scope = request.scope
        database = scope["state"].get("runner") or scope["app"].state.database
        return repository(database, verified_user(scope))

    return bind
