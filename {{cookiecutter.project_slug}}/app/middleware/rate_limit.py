"""Rate limits. Counters live in memory, or in Redis, shared by all processes."""

import asyncio
import math
import time

import structlog
from limits import parse
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import ConfigurationError as StorageNotSupported
from limits.errors import StorageError
from limits.storage import storage_from_string

from app.config import ConfigurationError
from app.errors import TooManyRequests

STORAGE_TIMEOUT = 0.25  # seconds
BACKOFF = 5.0  # seconds without requests to a storage that failed

log = structlog.get_logger()


class RateLimiter:
    """Count requests in a sliding window. While the storage is unreachable, nothing is limited."""

    def __init__(self, rate: str, storage_url: str) -> None:
        """`rate` is like `100/minute`. Raises ConfigurationError if the storage needs a package."""
        try:
            storage = storage_from_string(
                f"async+{storage_url}", implementation="redispy", wrap_exceptions=True
            )
        except StorageNotSupported:
            raise ConfigurationError(
                "RATE_LIMIT_STORAGE_URL: needs a package, install the extra: uv sync --extra redis"
            ) from None
        self._rate = parse(rate)
        self._counter = SlidingWindowCounterRateLimiter(storage)
        self._retry_at = -math.inf

    async def check(self, caller: str) -> None:
        """Count a request. Raises TooManyRequests if the caller has sent too many."""
        if time.monotonic() < self._retry_at:
            return
        try:
            async with asyncio.timeout(STORAGE_TIMEOUT):
                if await self._counter.hit(self._rate, caller):
                    return
                reset, _ = await self._counter.get_window_stats(self._rate, caller)
        except (StorageError, TimeoutError) as error:
            self._retry_at = time.monotonic() + BACKOFF
            log.warning("requests not counted", error=type(error).__name__, reason=str(error))
            return
        raise TooManyRequests(max(1, math.ceil(reset - time.time())))
