"""What handlers can depend on. They never see a connection or the id of a user."""

import re
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from starlette.types import Scope

from app.errors import Unauthenticated
from app.repositories.owned import Owned, Versions
from app.security.verifier import User

T = TypeVar("T", bound=Owned)

TAG = r'(?:W/)?"[!#-~]*"'  # the quoted part may have commas
MAX_TAGS = 32  # in `If-Match`; further ones are ignored


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
        database = request.scope["state"].get("transaction") or request.app.state.database
        return repository(database, await current_user(request))

    return bind


def if_match(request: Request) -> Versions:
    """Return the versions in `If-Match` (RFC 9110, section 13.1.1); None without it and for `*`.

    Weak, foreign and malformed tags match no version. Handlers do not declare the header as a
    parameter, because FastAPI would validate it on each request; `app/openapi.py` documents it.
    """
    header = ", ".join(request.headers.getlist("if-match") or ["*"])
    if header == "*":
        return None
    if not re.fullmatch(rf"{TAG}(\s*,\s*{TAG})*", header):
        return frozenset()
    # Exactly as `_etag` of a router writes them, and no more digits than the column holds.
    versions = [re.fullmatch(r'"([1-9][0-9]{0,8})"', tag) for tag in re.findall(TAG, header)]
    return frozenset(int(version[1]) for version in versions[:MAX_TAGS] if version)
