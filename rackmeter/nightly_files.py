"""What the nightly checks compare the ledger with, as the provider's own systems export it: CSV.

    server,state,item          the inventory; state is rented, spare or off, item may be missing
    collector,port,server      which port of which switch a server is plugged to

The first line names the columns; others are ignored. A pair of meters is written
``net.tx_bytes=port.rx_bytes:2%``, several with commas between.
"""

import csv
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

from invoicing.nightly.base import Pair, Port, Unit
from rackmeter.errors import ConfigError

STATES: Final = ("rented", "spare", "off")
_PAIR: Final = re.compile(r"([\w.-]+)=([\w.-]+):(\d{1,2}(?:\.\d)?) ?%")


def read_inventory(path: Path) -> list[Unit]:
    """One line a server; a server that stands twice is refused."""
    found: dict[str, Unit] = {}
    for line, row in _rows(path, ("server", "state")):
        server, state = row["server"].strip(), row["state"].strip()
        if state not in STATES:
            raise ConfigError(f"{path}, line {line}: state is {state}; write {', '.join(STATES)}.")
        if server in found:
            raise ConfigError(f"{path}, line {line}: {server} stands there twice.")
        found[server] = Unit(server, state, (row.get("item") or "").strip())
    return list(found.values())


def read_ports(path: Path) -> list[Port]:
    """One line a port; a port that stands twice is refused."""
    found: dict[tuple[str, str], Port] = {}
    for line, row in _rows(path, ("collector", "port", "server")):
        port = Port(row["collector"].strip(), row["port"].strip(), row["server"].strip())
        if (port.collector, port.resource) in found:
            raise ConfigError(
                f"{path}, line {line}: port {port.resource} of {port.collector} stands there twice."
            )
        found[port.collector, port.resource] = port
    return list(found.values())


def _rows(path: Path, wanted: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Lines that are not empty, with their numbers."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            rows = [(reader.line_num, row) for row in reader if any(row.values())]
            names = reader.fieldnames or ()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} is not CSV in UTF-8: {error}.") from error
    if missing := [name for name in wanted if name not in names]:
        raise ConfigError(f"{path} has no column {missing[0]}; wanted are {', '.join(wanted)}.")
    return rows


def read_pairs(text: str) -> list[Pair]:
    """The pairs of meters that a setting names."""
    found = []
    for one in filter(None, (part.strip() for part in text.split(","))):
        match = _PAIR.fullmatch(one)
        if match is None:
            raise ConfigError(
                f"RACKMETER_CROSS_CHECKS has {one}; write net.tx_bytes=port.rx_bytes:2%."
            )
        found.append(Pair(match[1], match[2], int(Decimal(match[3]) * 10)))
    return found
