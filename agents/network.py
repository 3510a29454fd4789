"""Bytes per NIC, from /proc/net/dev and /sys/class/net. Decides which NICs count; no arithmetic
across readings.

Every byte on the wire is to be counted once, so only what has hardware behind it counts (sysfs:
``device``): bonds, VLANs, bridges, veth, tap and tunnels pass their bytes on to one of those. A
representor of a virtual function has its card's ``device`` and is left out by its port's name.
Where nothing has hardware, as in a container, the names in EXCLUDE and what sits on another NIC
(``lower_*``, kernels from 3.14 on) are left out instead. ``include`` wins over all of it.

The kernel's counters are 64 bits wide and zero when a device is registered, which is at boot, when
it is plugged in, or when its driver is loaded again; the last two give it a new ifindex. Under
which name a card's counter is reported is the business of agents.naming.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from agents.sample import NO_CARD, Card, Sample, resource_name

METERS = frozenset({"net.rx_bytes", "net.tx_bytes"})

EXCLUDE = (
    *("lo", "veth*", "br-*", "docker*", "virbr*", "dummy*", "tap*", "ifb*", "vnet*"),
    *("cni*", "cali*", "flannel*", "lxc*", "tun*", "wg*", "tunl*", "sit*", "gre*", "ip6tnl*"),
)
"""Virtual by name: their traffic is none, or also passes a NIC that is counted."""

# proc_net(5): the eight receive columns come first, bytes leading; transmit bytes are the ninth.
_RX, _TX = 0, 8

# "pf0vf3", "c1pf0sf88": see devlink-port(8), what the host's end of a virtual function is called.
_REPRESENTOR = re.compile(r"(c\d+)?pf\d+(vf|sf)\d+")
_PERMANENT = "0"
"""addr_assign_type: the address is the card's own, not stolen, random or set by somebody."""


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
    folders = root / "sys/class/net"
    hardware = any((folder / "device").exists() for folder in folders.glob("*"))
    for raw, rx, tx in _rows(root / "proc/net/dev"):
        name = resource_name(raw)
        folder = folders / raw.decode("utf-8", "surrogateescape")
        serial = _ifindex(folder)
        if serial is None:
            continue
        serial_hi = max(serial_hi, serial)
        if not counts(name, folder, choice, hardware=hardware):
            continue
        bits = 32 if _matches(name, choice.wrap32) else 64
        device, card = str(serial), card_of(folder)
        samples += [
            Sample("net.rx_bytes", name, rx, device, serial, bits, card=card),
            Sample("net.tx_bytes", name, tx, device, serial, bits, card=card),
        ]
    return samples, serial_hi


def counts(name: str, folder: Path, choice: Choice, *, hardware: bool) -> bool:
    """``hardware``: whether any NIC of this machine has a device behind it."""
    if _matches(name, choice.include):
        return True
    if name == "lo":
        return choice.loopback
    if _matches(name, choice.exclude):
        return False
    if not hardware:
        return not _stacked(folder)
    port = _word(folder / "phys_port_name")
    return (folder / "device").exists() and not _REPRESENTOR.fullmatch(port)


def card_of(folder: Path) -> Card:
    """A bond gives its members one address; their own is kept beside it from Linux 3.15 on."""
    device = folder / "device"
    if not device.exists():
        return NO_CARD
    mac = _word(folder / "bonding_slave/perm_hwaddr")
    if not mac and _word(folder / "addr_assign_type") == _PERMANENT:
        mac = _word(folder / "address")
    driver = (device / "driver").resolve().name if (device / "driver").exists() else ""
    slot = f"{driver} {device.resolve().name} {_word(folder / 'dev_port') or '0'}".strip()
    return mac.lower(), slot


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


def _word(path: Path) -> str:
    """Empty where there is no such file, or the driver does not answer."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _matches(name: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)
