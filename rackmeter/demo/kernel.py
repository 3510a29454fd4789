"""Bytes of every network card as the kernel counts them, read on a path of its own.

The agent reads /proc/net/dev; here it is /sys/class/net, with code that shares nothing with it.
"""

from pathlib import Path

_FOLDER = Path("/sys/class/net")


def counters() -> dict[str, int]:
    """Received and sent bytes of each network card, added."""
    found: dict[str, int] = {}
    for card in _FOLDER.iterdir():
        statistics = card / "statistics"
        try:
            received = int((statistics / "rx_bytes").read_text())
            sent = int((statistics / "tx_bytes").read_text())
        except (OSError, ValueError):  # it was unplugged, or is none
            continue
        found[card.name] = received + sent
    return found
