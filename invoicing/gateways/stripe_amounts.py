"""Amounts as Stripe writes them: whole numbers, in units that are not always ISO 4217's. Pure.

docs.stripe.com/currencies: zero-decimal currencies; UGX and ISK are written with two decimals that
must be 00; the third decimal of dinars and the rial must be 0. What they cannot move is rounded,
half up, and the rest of the invoice stays open in the journal (invoicing.collecting carries it).
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from pipeline.money import EXACT, MINOR_UNITS


@dataclass(frozen=True, slots=True)
class Wire:
    """``digits`` after the point in their whole numbers; payments differ by ``step`` at least."""

    digits: int
    step: Decimal


_TWO: Final = Wire(2, Decimal("0.01"))
_NONE: Final = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
_WHOLE: Final = "ISK UGX"
_DINARS: Final = "BHD JOD KWD OMR TND"
_WIRES: Final = {
    **dict.fromkeys(_NONE.split(), Wire(0, Decimal("1"))),
    **dict.fromkeys(_WHOLE.split(), Wire(2, Decimal("1"))),
    **dict.fromkeys(_DINARS.split(), Wire(3, Decimal("0.01"))),
}
_LEAST: Final = {
    "AED": "2", "AUD": "0.5", "BGN": "1", "BRL": "0.5", "CAD": "0.5", "CHF": "0.5", "CZK": "15",
    "DKK": "2.5", "EUR": "0.5", "GBP": "0.3", "HKD": "4", "HUF": "175", "INR": "0.5", "JPY": "50",
    "MXN": "10", "MYR": "2", "NOK": "3", "NZD": "0.5", "PLN": "2", "RON": "2", "SEK": "3",
    "SGD": "0.5", "THB": "10", "USD": "0.5",
}  # fmt: skip
"""docs.stripe.com/currencies#minimum-and-maximum-charge-amounts; for others they say it then."""


def wire(currency: str) -> Wire:
    """How a currency is written."""
    assert currency in MINOR_UNITS, "an invoice's currency is of ISO 4217"
    return _WIRES.get(currency, _TWO)


def least(currency: str) -> Decimal:
    """The smallest payment that they take."""
    return Decimal(_LEAST.get(currency, str(wire(currency).step)))


def to_wire(amount: Decimal, currency: str) -> int:
    """Raises ValueError where the amount is finer than they can move."""
    found = wire(currency)
    if amount % found.step:
        raise ValueError(f"{amount} {currency} is no multiple of {found.step}")
    return int(amount.scaleb(found.digits))


def from_wire(units: int, currency: str) -> Decimal:
    """Their whole number in major units."""
    return EXACT.scaleb(Decimal(units), -wire(currency).digits)
