from urllib.parse import quote

from starlette.types import ASGIApp, Receive, Scope, Send


class RootPath:
    """Restore the prefix that a proxy has stripped from the path, as ASGI requires.

    Starlette removes `root_path` from every path that begins with it. If the prefix were not
    restored, `/api/v1/tasks` behind the prefix `/api` would become `/v1/tasks`. A server with a
    root path of its own has already restored it.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self.app = app
        self.prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "path" in scope and not scope.get("root_path"):
            path = scope["path"]
            scope["root_path"] = self.prefix
            if path.startswith("/"):  # `OPTIONS *` has no path
                raw_path = scope.get("raw_path") or quote(path).encode()
                scope["path"] = self.prefix + path
                scope["raw_path"] = self.prefix.encode() + raw_path
        await self.app(scope, receive, send)
