import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import Unavailable
from app.problems import problem_response


class Deadline:
    """Return 503 after the deadline. The inner app keeps running; its late response is dropped.

    The inner app is not canceled: canceling during a commit would leave the outcome unknown.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        late: asyncio.Task[None] | None = None

        def give_up() -> None:
            nonlocal late
            response = problem_response(Unavailable("deadline"), scope)
            late = asyncio.create_task(response(scope, receive, send))

        async def send_in_time(message: Message) -> None:
            timer.cancel()
            if late is None:
                await send(message)

        timer = asyncio.get_running_loop().call_later(self.seconds, give_up)
        try:
            await self.app(scope, receive, send_in_time)
        finally:
            timer.cancel()
            if late is not None:
                await late
