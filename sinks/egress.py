"""One POST to an address that a customer chose: never into our own network, never for long.

The name is resolved once, every address it has is checked, and the connection goes to one that was
checked; a second look-up between check and connect could answer something else. Redirects are not
followed, proxies of the environment not used, and the response's body is never read.
"""

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from typing import Any

import httpcore2
import httpx2

NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: the last four bytes are an IPv4 address

_PORTS = {None, *range(1, 65_536)}
_WRITE = "write one as https://customer.example/hooks"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class TargetRefusedError(Exception):
    """The address is none we connect to; says why. Nothing was sent."""


class SendFailedError(Exception):
    """No status came back: connection, TLS or time. The receiver may or may not have it."""


def is_public(text: str) -> bool:
    """True for an address of the public internet, looked at inside whatever it is wrapped in."""
    address: Address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
    return address.is_global and not (address.is_multicast or address.is_reserved)


def post(
    url: str,
    headers: dict[str, str],
    body: bytes,
    *,
    timeout_s: float,
    allow_private: bool = False,
) -> int:
    """The status of the answer. `allow_private` also allows plain http: a demo, a test, a lab."""
    target = _target(url, allow_private=allow_private)
    deadline = time.monotonic() + timeout_s
    backend = _Guarded(deadline, allow_private=allow_private)
    lines = [(name.encode(), value.encode()) for name, value in headers.items()]
    lines.append((b"host", httpx2.URL(url).netloc))
    try:
        with (
            httpcore2.ConnectionPool(ssl_context=_trust(), network_backend=backend) as pool,
            pool.stream(
                "POST", target, headers=[*lines, (b"connection", b"close")], content=body
            ) as response,
        ):
            return response.status
    except (httpcore2.TimeoutException, TimeoutError):
        raise SendFailedError("timed out") from None
    except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
        raise SendFailedError(f"{type(error).__name__}: {error}") from error


@cache
def _trust() -> ssl.SSLContext:
    """Reading the system's certificates takes longer than the request."""
    return ssl.create_default_context()


def check(url: str, *, allow_private: bool) -> None:
    """Refuses what is none before anything is sent to it; what a name resolves to is not asked."""
    host = _target(url, allow_private=allow_private).host.decode()
    with suppress(ValueError):
        if not allow_private and not is_public(host.strip("[]")):
            raise TargetRefusedError(f"{host} is not on the public internet")


def _target(url: str, *, allow_private: bool) -> httpcore2.URL:
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError):
        parsed = httpx2.URL("")
    if not parsed.scheme or "%" in parsed.host or parsed.port not in _PORTS:
        raise TargetRefusedError(f"the address is not a URL; {_WRITE}")
    if parsed.scheme != "https" and not (allow_private and parsed.scheme == "http"):
        unless = ", unless RACKMETER_ALLOW_PRIVATE_WEBHOOKS is set" * (parsed.scheme == "http")
        raise TargetRefusedError(
            f"the address must begin with https://, not {parsed.scheme}://{unless}; {_WRITE}"
        )
    if not parsed.host:
        raise TargetRefusedError(f"the address must name a host; {_WRITE}")
    if parsed.userinfo:
        raise TargetRefusedError(f"the address must hold no user and no password; {_WRITE}")
    return httpcore2.URL(
        scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path
    )


def _resolve(host: str, port: int, *, allow_private: bool) -> list[str]:
    """All addresses of a host, checked. getaddrinfo also reads hosts like 2130706433 and 0x7f.1."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise SendFailedError(f"{host} cannot be resolved: {error}") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    private = [address for address in addresses if not is_public(address)]
    if private and not allow_private:
        raise TargetRefusedError(f"{host} is {private[0]}, which is not on the public internet")
    return addresses


class _Guarded(httpcore2.NetworkBackend):
    """Connects to checked addresses only and ends everything at one deadline."""

    def __init__(self, deadline: float, *, allow_private: bool) -> None:
        self._deadline = deadline
        self._allow_private = allow_private
        self._plain = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        failure: Exception | None = None
        for address in _resolve(host, port, allow_private=self._allow_private):
            try:
                stream = self._plain.connect_tcp(
                    address, port, _left(self._deadline), local_address, socket_options
                )
                return _Bounded(stream, self._deadline)
            except httpcore2.ConnectError as error:
                failure = error
        raise failure or httpcore2.ConnectError(f"{host} has no address")


class _Bounded(httpcore2.NetworkStream):
    """A stream whose every wait ends at the deadline, however slowly the other side drips."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, _left(self._deadline))
        return _Bounded(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore2.TimeoutException("the time of this request is up")
    return left
