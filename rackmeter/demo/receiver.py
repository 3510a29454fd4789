"""A customer's webhook: a small HTTP server that checks every signature and counts what it gets."""

import threading
import time
from base64 import b64encode
from collections import Counter
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_bytes
from types import TracebackType
from typing import Any, Final, Self

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from schemas.events import THRESHOLD_CROSSED

SECRET_BYTES: Final = 32
BODY_BYTES_MAX: Final = 1_000_000


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    """With the library's five, a sixth at once is asked to come again in a second."""


class Receiver:
    """Listens on the loopback while its block runs."""

    def __init__(self) -> None:
        key = token_bytes(SECRET_BYTES)
        self.secret = f"whsec_{b64encode(key).decode()}"
        self.unsigned = 0
        self._hook = Webhook(self.secret)
        self._seen: Counter[str] = Counter()
        self._bodies: dict[str, Any] = {}
        self._latency_ms: dict[str, int] = {}
        self._changed = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where to send."""
        return f"http://127.0.0.1:{self._server.server_port}/webhook"

    @property
    def repeated(self) -> int:
        """Requests beyond the first of each id; a receiver drops them by the id."""
        with self._changed:
            return sum(self._seen.values()) - len(self._seen)

    @property
    def crossings(self) -> int:
        """Different events that told of a crossing."""
        with self._changed:
            return sum(map(_crossed, self._bodies.values()))

    def latencies_ms(self, scope: str) -> list[int]:
        """From the reading that crossed to its arrival here, of each event about a scope."""
        with self._changed:
            return [
                self._latency_ms[identity]
                for identity, body in self._bodies.items()
                if _crossed(body) and body["data"]["scope"] == scope
            ]

    def accept(self, headers: dict[str, str], body: bytes) -> bool:
        """Check and count one request."""
        try:
            event = self._hook.verify(body, headers)
        except WebhookVerificationError:
            self.unsigned += 1
            return False
        with self._changed:
            identity = headers["webhook-id"]
            self._seen[identity] += 1
            if identity not in self._bodies:
                self._bodies[identity] = event
                self._latency_ms[identity] = _since(event["data"]["sampled_at"])
            self._changed.notify_all()
        return True

    def wait(self, count: int, about: str, seconds: float) -> int:
        """Wait for so many different crossings of a scope; returns how many there are."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while (found := self._about(about)) < count:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                # Short waits: a signal is handled only between them.
                self._changed.wait(min(left, 0.2))
            return found

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _about(self, scope: str) -> int:
        about = [body for body in self._bodies.values() if body["data"]["scope"] == scope]
        return sum(map(_crossed, about))


def _crossed(body: Any) -> bool:
    """A crossing, not the news that a correction has taken one back."""
    return bool(body["type"] == THRESHOLD_CROSSED)


def _since(sampled_at: str) -> int:
    return round(
        (datetime.now(UTC) - datetime.fromisoformat(sampled_at)) / timedelta(milliseconds=1)
    )


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One request."""

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", 0))
            if not 0 < length <= BODY_BYTES_MAX:
                self.send_error(413)
                return
            body = self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(204 if receiver.accept(headers, body) else 401)
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            """The demonstration counts; it does not log."""

    return Handler
