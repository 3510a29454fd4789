"""What systemd is told (sd_notify(3)), where it asked to be told. An agent that cannot say so still
meters.
"""

import os
import socket
import time
from collections.abc import Mapping

from agents.log import log


def notify(message: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            sock.send(message.encode())
    except OSError as error:
        log.warning("systemd was not told %s: %s", message.partition("\n")[0], error)


def reloading() -> None:
    """Followed by ``READY=1``; with the stamp that ``Type=notify-reload`` wants."""
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


class Watchdog:
    """Sign of life, at a third of the time after which systemd would end this process."""

    def __init__(self, environ: Mapping[str, str], pid: int) -> None:
        asked = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        text = environ.get("WATCHDOG_USEC", "")
        self.every_ms = int(text) // 3000 if asked and text.isdigit() else 0
        self._due_up_ms = 0

    def alive(self, up_ms: int) -> None:
        if self.every_ms and up_ms >= self._due_up_ms:
            notify("WATCHDOG=1")
            self._due_up_ms = up_ms + self.every_ms
