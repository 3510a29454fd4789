"""Reads the head of a price list: version, dates, seller, tax rates. Pure."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from pipeline.catalog_text import Table, shown
from pipeline.catalog_units import PERCENT
from pipeline.money import minor_units
from pipeline.periods import midnight, zone
from schemas.billing import Seller
from schemas.errors import ConfigError

_BANK_FIELDS: Final = ("iban", "bic")
IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")  # ISO 13616
BIC: Final = re.compile(r"[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?")  # ISO 9362
VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
ENTITY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
YEARS: Final = range(2000, 2200)
_SELLER_FIELDS: Final = ("entity", "name", "address", "vat_id", "timezone", "currency")


class Existing(StrEnum):
    """What a new version does to items that have a price already. A date: from then on."""

    KEEP = "keep"
    AT_RENEWAL = "at_renewal"


def read_seller(file: Table) -> Seller:
    table = file.table("seller", f"write [seller] with {', '.join(_SELLER_FIELDS)}")
    table.only((*_SELLER_FIELDS, *_BANK_FIELDS))
    return Seller(
        entity=_plain(table, "entity", ENTITY, 'write a short name such as "rm-de"'),
        name=table.text("name", "write the company's name as it is registered"),
        address=table.texts("address", 'write its lines: ["Street 1", "10115 Berlin"]'),
        vat_id=table.text("vat_id", 'write the VAT number, for example "DE123456789"'),
        timezone=_known(table, "timezone", zone, "Europe/Berlin"),
        currency=_known(table, "currency", minor_units, "EUR"),
        tax=_tax(file),
        iban=_bank(table, "iban", IBAN, "DE89370400440532013000"),
        bic=_bank(table, "bic", BIC, "COBADEFFXXX"),
    )


def _bank(table: Table, key: str, pattern: re.Pattern[str], example: str) -> str:
    """Without spaces; nothing where it is not written."""
    if key not in table.values:
        return ""
    mend = f'write for example "{example}"'
    value = table.text(key, mend).replace(" ", "").upper()
    if value and not pattern.fullmatch(value):
        table.wrong(key, f"it cannot be one; {mend}")
    elif pattern is IBAN and value and not _checked(value):
        table.wrong(key, "its check digits do not fit: some character is wrong")
    return value


def _checked(iban: str) -> bool:
    """ISO 7064, modulus 97-10: letters count from 10 on."""
    return int("".join(str(int(part, 36)) for part in iban[4:] + iban[:4])) % 97 == 1


def _known(table: Table, key: str, check: Callable[[str], object], example: str) -> str:
    """A text that ``check`` accepts; a mistake in its own words when it does not."""
    value = table.text(key, f'write for example "{example}"') or example
    try:
        check(value)
    except ConfigError as error:
        table.note(key, str(error))
        return example
    return value


def _tax(file: Table) -> dict[str, Decimal]:
    table = file.table("tax", 'write [tax] with a rate for each category: hosting = "19 %"')
    if not table.values:
        table.note("", 'there is no rate; write hosting = "19 %"')
    return {key: _rate(table, key) for key in table.values}


def _rate(table: Table, key: str) -> Decimal:
    found = table.match(key, PERCENT, 'write a percentage, for example "19 %"')
    rate = Decimal(found[1] if found else 0)
    if rate > 100:
        table.wrong(key, 'write at most 100 %, for example "19 %"')
    return rate


def version(file: Table, key: str, example: str) -> str:
    """The name of a version or contract: an argument of commands, and part of every line."""
    return _plain(file, key, VERSION, f'write {key} = "{example}"')


def _plain(table: Table, key: str, pattern: re.Pattern[str], mend: str) -> str:
    value = table.text(key, mend)
    if value and not pattern.fullmatch(value):
        dots = "., " if pattern is VERSION else ""
        table.wrong(key, f"{mend}, of letters, digits, {dots}- and _")
        return ""
    return value


def day(file: Table, key: str, timezone: str) -> datetime:
    """The local midnight at which the date of a field begins."""
    value = file.values.get(key)
    plain = isinstance(value, date) and not isinstance(value, datetime)
    if isinstance(value, date) and plain and value.year in YEARS:
        return midnight(value.year, value.month, value.day, timezone)
    years = f", from {YEARS[0]} to {YEARS[-1]}" if plain else ""
    file.wrong(key, f"write a date without quotes{years}: {key} = 2026-03-01")
    return datetime.fromtimestamp(0, UTC)


def read_existing(file: Table, timezone: str, effective: datetime) -> Existing | datetime:
    value = file.values.get("existing", Existing.KEEP.value)
    if not isinstance(value, date):
        if value in [*Existing]:
            return Existing(value)
        words = ", ".join(shown(one.value) for one in Existing)
        file.wrong("existing", f"write one of {words}, or a date without quotes")
        return Existing.KEEP
    noted = len(file.mistakes.found)
    at = day(file, "existing", timezone)
    if at < effective and len(file.mistakes.found) == noted:
        file.wrong("existing", "its prices begin later: write effective's day or one after it")
    return at
