"""A word to systemd, for units of `Type=notify` (sd_notify(3)); nothing where none listens."""

import os
import socket
import time
from typing import Final

SOCKET: Final = "NOTIFY_SOCKET"
BEAT_SECONDS: Final = 10.0
"""Far below any sensible WatchdogSec."""


def notify(state: str) -> None:
    """READY=1, STOPPING=1, WATCHDOG=1. A service manager that is gone harms nobody."""
    address = os.environ.get(SOCKET)
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outlet:
        try:
            outlet.connect(address)
            outlet.send(state.encode())
        except OSError:
            return


class Heartbeat:
    """Tells systemd that a loop goes round: ready the first time, alive from then on."""

    def __init__(self) -> None:
        self._next = 0.0

    def beat(self) -> None:
        """Call it each time round."""
        now = time.monotonic()
        if now < self._next:
            return
        notify("WATCHDOG=1" if self._next else "READY=1")
        self._next = now + BEAT_SECONDS
