"""Exact amounts and the only ways to round them. Pure.

Prices and amounts are ``Decimal`` from text, shares are ``Fraction``; nothing here is ever inexact
without saying so. Rounding is half up, away from zero, so that a credit mirrors the charge that it
takes back.
"""

from collections.abc import Iterable
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from fractions import Fraction
from typing import Final

from schemas.errors import ConfigError

Exact = Decimal | Fraction | int

EXACT: Final = Context(prec=80, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])
"""2**63 base units of a thousand servers at a price of 20 decimals need 43 digits."""

# ISO 4217, list one, with the amendments until 2026-01. Codes without minor units (precious metals,
# test codes) and fund codes that nobody invoices in are left out; BGN stays for periods before the
# euro.
_WITH_2: Final = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF
CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG
HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU
MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR
SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED
VES WST XCD XCG YER ZAR ZMW ZWG
"""
_WITH_0: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_WITH_3: Final = "BHD IQD JOD KWD LYD OMR TND"

MINOR_UNITS: Final[dict[str, int]] = {
    code: digits
    for digits, codes in ((0, _WITH_0), (2, _WITH_2), (3, _WITH_3))
    for code in codes.split()
}


def minor_units(currency: str) -> int:
    """Decimal places in which the currency is paid: EUR 2, JPY 0, KWD 3."""
    digits = MINOR_UNITS.get(currency)
    if digits is None:
        raise ConfigError(
            f'currency "{currency}" is not known; write a code of ISO 4217, for example "EUR"'
        )
    return digits


def round_money(amount: Exact, currency: str) -> Decimal:
    """``amount`` in whole minor units of the currency, half up away from zero."""
    digits = minor_units(currency)
    numerator, denominator = amount.as_integer_ratio()
    return EXACT.scaleb(Decimal(nearest(numerator * 10**digits, denominator)), -digits)


def truncate_money(amount: Exact, currency: str) -> Decimal:
    """``amount`` in whole minor units, towards zero: for tax where a country says so."""
    digits = minor_units(currency)
    return EXACT.scaleb(Decimal(int(Fraction(amount) * 10**digits)), -digits)


def to_minor(amount: Decimal, currency: str) -> int:
    """A rounded amount in minor units. Raises ValueError where it has a finer part."""
    units = Fraction(amount) * 10 ** minor_units(currency)
    if units.denominator != 1:
        raise ValueError(f"{amount} {currency} is no whole number of minor units")
    return int(units)


def from_minor(units: int, currency: str) -> Decimal:
    """Minor units as an amount."""
    return EXACT.scaleb(Decimal(units), -minor_units(currency))


def round_step(quantity: Exact, step: Decimal) -> Decimal:
    """The multiple of ``step`` nearest to ``quantity``, half up away from zero."""
    numerator, denominator = quantity.as_integer_ratio()
    over, under = step.as_integer_ratio()
    return EXACT.multiply(Decimal(nearest(numerator * under, denominator * over)), step)


def exact_sum(amounts: Iterable[Decimal]) -> Decimal:
    """The sum, exactly; an error rather than a rounded one."""
    total = Decimal(0)
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total


def exact_text(value: Exact) -> str:
    """``value`` as decimal text where that ends, else ``numerator/denominator``: exact."""
    numerator, denominator = value.as_integer_ratio()
    if denominator == 1:
        return str(numerator)
    rest, fives = denominator, 0
    twos = (rest & -rest).bit_length() - 1
    rest >>= twos
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1:
        return f"{numerator}/{denominator}"
    places = max(twos, fives)
    digits = str(abs(numerator) * 10**places // denominator).zfill(places + 1)
    return f"{'-' if numerator < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def half_up(value: Fraction) -> int:
    """The nearest whole number; a half goes away from zero."""
    return nearest(value.numerator, value.denominator)


def nearest(numerator: int, denominator: int) -> int:
    """The whole number nearest to a ratio, a half away from zero; ``denominator`` is above zero."""
    whole = (2 * abs(numerator) + denominator) // (2 * denominator)
    return whole if numerator >= 0 else -whole
