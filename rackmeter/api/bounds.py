"""What a request may cost: bytes and seconds of its body, and how often an address may be wrong."""

import asyncio
import ipaddress
from collections import OrderedDict
from typing import Final

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES_MAX: Final = 4096
"""Twenty times what an enrolment needs."""
BODY_BYTES_MAX_AT: Final = {"/payments/stripe": 256 * 1024}
"""Events carry the whole object; the longest in Stripe's documents is a tenth of this."""
BODY_SECONDS_MAX: Final = 10.0
ADDRESSES_MAX: Final = 10_000


class BoundedBodies:
    """Reads each body whole before anybody works on it; one too long or too slow is refused."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = BODY_BYTES_MAX_AT.get(scope.get("path", ""), BODY_BYTES_MAX)
        try:
            async with asyncio.timeout(BODY_SECONDS_MAX):
                body = await _body(receive, most)
        except TimeoutError:
            await JSONResponse({"detail": "The body took too long."}, 408)(scope, receive, send)
            return
        if body is None:
            said = {"detail": f"The body is longer than {most} bytes."}
            await JSONResponse(said, 413)(scope, receive, send)
            return
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def once() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, once, send)


async def _body(receive: Receive, most: int) -> bytes | None:
    """None when it is too long; empty when the client went away."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        body += message.get("body", b"")
        if len(body) > most:
            return None
        if not message.get("more_body"):
            return bytes(body)


class Bucket:
    """``burst`` at once, then one each ``seconds``; the clock is an argument."""

    __slots__ = ("_at", "_burst", "_left", "_seconds")

    def __init__(self, burst: int, seconds: float, now: float) -> None:
        self._burst, self._seconds = burst, seconds
        self._left, self._at = float(burst), now

    def wait(self, now: float) -> float:
        """Seconds until one is left; 0 when there is."""
        self._refill(now)
        return max(0.0, (1.0 - self._left) * self._seconds)

    def take(self, now: float) -> None:
        self._refill(now)
        self._left = max(0.0, self._left - 1.0)

    def _refill(self, now: float) -> None:
        self._left = min(float(self._burst), self._left + (now - self._at) / self._seconds)
        self._at = now


class Mistakes:
    """Who was wrong too often waits. Counts mistakes alone: a rack that enrols at once is let in.

    Bounded: the address that was wrong longest ago is forgotten first.
    """

    def __init__(self, burst: int, seconds: float) -> None:
        self._burst, self._seconds = burst, seconds
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def wait(self, address: str, now: float) -> float:
        """Seconds that this address has to wait."""
        bucket = self._buckets.get(_network(address))
        return bucket.wait(now) if bucket is not None else 0.0

    def count(self, address: str, now: float) -> None:
        name = _network(address)
        bucket = self._buckets.pop(name, None) or Bucket(self._burst, self._seconds, now)
        bucket.take(now)
        self._buckets[name] = bucket
        if len(self._buckets) > ADDRESSES_MAX:
            self._buckets.popitem(last=False)


def _network(address: str) -> str:
    """An IPv6 customer has 2⁶⁴ addresses: they count as one."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is None:
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
