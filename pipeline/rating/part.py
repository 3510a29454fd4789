"""What a price model makes of a quantity: the parts of a line, each quantity × price. Pure."""

from dataclasses import dataclass
from decimal import Decimal

from schemas.billing import LineKind


@dataclass(frozen=True, slots=True)
class Position:
    """Billing units of one segment, and where they stand in the charge's period, in its unit."""

    before: Decimal
    """Of earlier segments."""
    quantity: Decimal
    """Of this one."""
    total: Decimal
    """Of all segments that have begun."""
    first: bool
    """No segment of the charge that bills anything was earlier in the period."""

    @property
    def after(self) -> Decimal:
        return self.before + self.quantity


@dataclass(frozen=True, slots=True)
class Part:
    """``quantity`` × ``price``. ``name`` is part of the line's key and never changes."""

    quantity: Decimal
    price: Decimal
    name: str = ""
    title: str = ""
    kind: LineKind = LineKind.CHARGE
    unit: str = ""
    """The billing unit, unless stated."""
    above: Decimal = Decimal(0)
    """Billing units of the charge and period that come before."""


def flat(amount: Decimal, name: str, title: str) -> Part:
    """A fixed amount, once."""
    return Part(Decimal(1), amount, name, title, LineKind.FLAT, unit="flat fee")
