"""All that a handler may ask for. It never sees a connection, or an id of a user."""

import re
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from fastapi import Depends, Header, Request
from fastapi.security import HTTPBearer

from app.errors import Unauthenticated
from app.repositories.owned import Owned, Versions
from app.security.verifier import User

T = TypeVar("T", bound=Owned)

# Only for the OpenAPI document: tokens are verified in the middleware, before a body is read.
_bearer = HTTPBearer(bearerFormat="JWT", description="From Better Auth", auto_error=False)


async def current_user(request: Request, _: Annotated[object, Depends(_bearer)]) -> User:
    """Who is calling. Raises Unauthenticated where the middleware verified nobody."""
    user = request.scope["state"].get("user")
    if not isinstance(user, User):
        raise Unauthenticated
    return user


CurrentUser = Annotated[User, Depends(current_user)]


def owned(thing: type[T]) -> Callable[..., Awaitable[T]]:
    """A dependency: `thing`, bound to the caller."""

    async def bind(request: Request, user: CurrentUser) -> T:
        return thing(request.app.state.database, user)

    return bind


async def if_match(
    header: Annotated[str, Header(alias="If-Match", include_in_schema=False)] = "*",
) -> Versions:
    """The versions named in `If-Match` (RFC 9110, section 13.1.1); None without it and for `*`.

    A weak or foreign tag matches no version, as the strong comparison wants. Not in the OpenAPI
    document, where any text would have to be as good as another; the operations tell of it.
    """
    if header.strip() == "*":
        return None
    # At most nine digits: more would not fit the column, and no version is that high.
    return frozenset(int(version) for version in re.findall(r'(?<!W/)"([0-9]{1,9})"', header))


IfMatch = Annotated[Versions, Depends(if_match)]
