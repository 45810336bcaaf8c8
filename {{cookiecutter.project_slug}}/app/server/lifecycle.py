"""Graceful shutdown: report not ready, keep serving, then stop."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def draining(seconds: float, begin: Callable[[], None]) -> Iterator[None]:
    """Within the block, SIGTERM calls `begin`, and reaches the server `seconds` later.

    Meanwhile the readiness check fails, so load balancers send requests to other instances.
    Requests that still arrive are served. Without a handler for SIGTERM, this does nothing.
    """
    stop = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(stop):
        yield
        return
    loop = asyncio.get_running_loop()

    def drain(number: int, frame: FrameType | None) -> None:
        begin()
        loop.call_soon_threadsafe(loop.call_later, seconds, stop, number, frame)

    signal.signal(signal.SIGTERM, drain)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, stop)
