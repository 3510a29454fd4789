"""Bytes per NIC, from /proc/net/dev and /sys/class/net. Decides which NICs count; no arithmetic
across readings.

Every byte on the wire is to be counted once: a NIC that sits on another (bond, VLAN, bridge: the
kernel links them as ``lower_*``) or only leads to another name space (veth, tap) is left out unless
it is named in ``include``. The kernel's counters are 64 bits wide and zero when a device is
registered, which is at boot, when it is plugged in, or when its driver is loaded again; the last
two give it a new ifindex.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from agents.sample import Sample, resource_name

METERS = frozenset({"net.rx_bytes", "net.tx_bytes"})

EXCLUDE = (
    *("lo", "veth*", "br-*", "docker*", "virbr*", "dummy*", "tap*", "ifb*", "vnet*"),
    *("cni*", "cali*", "flannel*", "lxc*", "tun*", "wg*", "tunl*", "sit*", "gre*", "ip6tnl*"),
)
"""Virtual by name: their traffic is none, or also passes a NIC that is counted."""

# proc_net(5): the eight receive columns come first, bytes leading; transmit bytes are the ninth.
_RX, _TX = 0, 8


@dataclass(frozen=True, slots=True)
class Choice:
    """Which NICs count, as globs. ``include`` wins over everything, ``exclude`` over the rest."""

    loopback: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = EXCLUDE
    wrap32: tuple[str, ...] = ()
    """NICs whose driver counts in 32 bits, so that a smaller value may be a wrap."""


def read(root: Path, choice: Choice) -> tuple[list[Sample], int]:
    """The samples, and the highest ifindex of all NICs, counted or not."""
    samples: list[Sample] = []
    serial_hi = 0
    for raw, rx, tx in _rows(root / "proc/net/dev"):
        name = resource_name(raw)
        folder = root / "sys/class/net" / raw.decode("utf-8", "surrogateescape")
        serial = _ifindex(folder)
        if serial is None:
            continue
        serial_hi = max(serial_hi, serial)
        if not counts(name, folder, choice):
            continue
        bits = 32 if _matches(name, choice.wrap32) else 64
        samples += [
            Sample("net.rx_bytes", name, rx, str(serial), serial, bits),
            Sample("net.tx_bytes", name, tx, str(serial), serial, bits),
        ]
    return samples, serial_hi


def counts(name: str, folder: Path, choice: Choice) -> bool:
    if _matches(name, choice.include):
        return True
    if name == "lo":
        return choice.loopback
    return not _matches(name, choice.exclude) and not _stacked(folder)


def _rows(path: Path) -> Iterator[tuple[bytes, int, int]]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return
    for line in lines[2:]:
        name, colon, rest = line.partition(b":")
        columns = rest.split()
        if colon and len(columns) > _TX and columns[_RX].isdigit() and columns[_TX].isdigit():
            yield name.strip(), int(columns[_RX]), int(columns[_TX])


def _ifindex(folder: Path) -> int | None:
    """None for a NIC that went away since /proc/net/dev was read: without its identity it is not
    counted.
    """
    try:
        return int((folder / "ifindex").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _stacked(folder: Path) -> bool:
    try:
        return any(entry.name.startswith("lower_") for entry in folder.iterdir())
    except OSError:
        return False


def _matches(name: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)
