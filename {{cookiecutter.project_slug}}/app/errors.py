"""Expected errors. `app/problems.py` converts them to responses."""

from collections.abc import Mapping
from typing import ClassVar

from app.reasons import Reason

EXIT_UNAVAILABLE = 75  # exit status of commands where the service would return 503 (EX_TEMPFAIL)


class ServiceError(Exception):
    """An error response.

    `detail` is for the caller: no input, path, SQL or stack trace. `reason` is for the log.
    """

    status: ClassVar[int]
    detail: ClassVar[str]

    def __init__(
        self,
        reason: str | None = None,
        headers: Mapping[str, str] | None = None,
        challenge: Mapping[str, str] | None = None,
    ) -> None:
        """`challenge` has the parameters of `WWW-Authenticate`; None means no such header."""
        super().__init__(reason or self.detail)
        self.reason = reason
        self.headers = headers
        self.challenge = challenge


class SeveralCredentials(ServiceError):
    """Two `Authorization` headers: an intermediary may have honored the other one."""

    status = 400
    detail = "Send one Authorization header."

    def __init__(self) -> None:
        super().__init__(challenge={"error": "invalid_request"})


class Unauthenticated(ServiceError):
    """The request has no valid token (RFC 6750, section 3).

    The response is the same for every rejected token; `reason` is the violated rule. Without a
    reason, the request had no credentials.
    """

    status = 401
    detail = "A valid bearer token is required."

    def __init__(self, reason: Reason | None = None) -> None:
        invalid = {"error": "invalid_token", "error_description": self.detail}
        super().__init__(reason, challenge=invalid if reason else {})


class Forbidden(ServiceError):
    """The caller is known, but may not do this. Raise it before running any statement."""

    status = 403
    detail = "You do not have permission to do this."


class InsufficientScope(Forbidden):
    """An application's token does not cover the request (RFC 6750, section 3.1).

    `scope` is the required scope. None means that no application may send the request.
    """

    detail = "The token's scope does not cover this request."

    def __init__(self, scope: str | None) -> None:
        needed = {"scope": scope} if scope else {}
        super().__init__(
            f"the token's scope lacks {scope}" if scope else "not for applications",
            challenge={"error": "insufficient_scope", **needed},
        )


class NotFound(ServiceError):
    """Missing, or owned by another user; deliberately indistinguishable."""

    status = 404
    detail = "Resource not found."


class Conflict(ServiceError):
    """The request conflicts with other resources of the caller."""

    status = 409
    detail = "A resource with these values already exists."


class IdempotencyKeyInUse(Conflict):
    """A request with the same `Idempotency-Key` is being handled."""

    detail = "A request with this Idempotency-Key is still being processed. Try again."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "1"})


class MissingReference(Conflict):
    """The request refers to a missing resource, or to one of another user; indistinguishable."""

    detail = "A resource that this one refers to was not found."


class StillReferenced(Conflict):
    detail = "Other resources refer to this one. Delete them first."


class PreconditionFailed(ServiceError):
    """`If-Match` names a version that is no longer the current one (RFC 9110, section 13.1.1)."""

    status = 412
    detail = "The resource has changed since that version. Fetch the current one first."


class ContentTooLarge(ServiceError):
    status = 413
    detail = "The body is over 64 KiB."


class IncompleteBody(ServiceError):
    """The client has closed the connection before the end of the body."""

    status = 400
    detail = "The body is incomplete."


class NotUtf8(ServiceError):
    status = 400
    detail = "The body is not UTF-8."


class InvalidIdempotencyKey(ServiceError):
    status = 400
    detail = "Send one Idempotency-Key: 1 to 255 printable ASCII characters, in double quotes."


class UnsupportedMediaType(ServiceError):
    status = 415
    detail = "Send JSON, with one Content-Type header: application/json."


class TooManyRequests(ServiceError):
    """More requests than `RATE_LIMIT` allows (RFC 6585, section 4)."""

    status = 429
    detail = "Too many requests. Wait before sending the next one."

    def __init__(self, retry_after: int) -> None:
        """`retry_after` is in whole seconds."""
        super().__init__(headers={"Retry-After": str(retry_after)})


class Unavailable(ServiceError):
    """Something the service needs is unavailable; the same request may work later."""

    status = 503
    detail = "The service is temporarily unavailable. Try again."

    def __init__(self, reason: str, retry_after: int = 1) -> None:
        """`retry_after` is in whole seconds."""
        super().__init__(reason, {"Retry-After": str(retry_after)})
