"""Reads what a clerk worked out by hand: the tables of an `invoice.md`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

WHOLE: Final = "(invoice)"
"""In place of an item where a line is of the whole invoice; its charge is then its name."""


@dataclass(frozen=True)
class Row:
    """One line as it is expected; ``start`` is local, MM-DD HH:MM."""

    item: str
    charge: str
    start: str
    quantity: str
    price: str
    gross: str
    discount: str
    net: str


def rows(folder: Path) -> list[Row]:
    return [Row(*cells[:8]) for cells in _cells(folder, 9)]


def sums(folder: Path) -> dict[str, str]:
    """Net, tax, gross, due."""
    return {name: amount for name, amount, _ in _cells(folder, 3)}


def single(found: Iterable[Row]) -> list[tuple[str, str, Decimal]]:
    """Item, charge and net of every line of an invoice: a discount of a line is one of its own."""
    parts: list[tuple[str, str, Decimal]] = []
    for row in found:
        parts.append((row.item, row.charge, Decimal(row.gross)))
        if Decimal(row.discount):
            parts.append((row.item, row.charge, -Decimal(row.discount)))
    return sorted(parts)


def _cells(folder: Path, width: int) -> Iterator[list[str]]:
    """The cells of the tables of so many columns, without their heads."""
    head = False
    for line in (folder / "invoice.md").read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            head = False
        elif line.startswith("|---"):
            head = True
        elif head and len(cells) == width:
            yield cells
