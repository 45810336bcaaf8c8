"""How many requests one caller may make. What counts is kept in memory, or in Redis for all."""

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

PATIENCE = 0.25  # seconds for the storage to answer
PAUSE = 5.0  # seconds in which a storage that did not is left alone

log = structlog.get_logger()


class RateLimiter:
    """Counts requests over a sliding window. A storage that is away lets everybody pass."""

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
        self._paused_until = -math.inf

    async def count(self, caller: str) -> None:
        """Raises TooManyRequests if this is one too many."""
        if time.monotonic() < self._paused_until:
            return
        try:
            async with asyncio.timeout(PATIENCE):
                if await self._counter.hit(self._rate, caller):
                    return
                reset, _ = await self._counter.get_window_stats(self._rate, caller)
        except (StorageError, TimeoutError) as error:
            self._paused_until = time.monotonic() + PAUSE
            log.warning("requests not counted", error=type(error).__name__, reason=str(error))
            return
        raise TooManyRequests(max(1, math.ceil(reset - time.time())))
