"""How the service ends: it says so first, and leaves nobody without an answer."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def draining(seconds: float, begin: Callable[[], None]) -> Iterator[None]:
    """Within the block, SIGTERM calls `begin`, and `seconds` later what the server does on it.

    In between, whoever asks whether the service is ready hears that it is not and sends people
    elsewhere, while those who come all the same are served. Where no server handles the signal,
    this changes nothing.
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
