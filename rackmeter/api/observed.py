"""How long each request took, by route and class of status."""

import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rackmeter.exposition import histogram
from schemas import metrics

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Any word may be sent as a method; others are counted together."""
HTTP = histogram(metrics.HTTP)


class Observed:
    """Outermost middleware: what never answers, or fails, counts as 5xx."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), "5xx"

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = f"{message['status'] // 100}xx"
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            # The router writes the route that it has chosen into the scope.
            route = getattr(scope.get("route"), "path", "unmatched")
            method = scope["method"] if scope["method"] in METHODS else "other"
            HTTP.labels(method, route, status).observe(time.perf_counter() - began)
