"""JSON Schemas of the files that people write, for editors: names, shapes and what to choose from.

Pure. An editor checks with them while somebody types (`#:schema` in the first line of a file).
Whatever the readers take, a schema takes; what it cannot say, such as which unit fits which meter,
the readers do. A contract says parts of charges, so its schema asks for less.
"""

import re
from typing import Final

from pipeline.catalog_charge_schema import MONTHLY, NAMES, PERCENT, addon, plan
from pipeline.catalog_head import BIC, ENTITY, IBAN, VERSION, Existing
from pipeline.catalog_units import AMOUNT, METER, MOST, TIME_WORDS, UNIT
from pipeline.json_schema import (
    DATE,
    Schema,
    choice,
    one_of,
    pattern,
    table,
    tables,
    text,
    texts,
    whole_file,
)
from pipeline.money import MINOR_UNITS
from pipeline.quote_schema import usage


def catalogue() -> Schema:
    """Of a price list."""
    return whole_file(
        "A price list of rackmeter",
        {
            "version": pattern(VERSION.pattern, "appears on every price and invoice line"),
            "effective": DATE,
            "existing": {
                "anyOf": [choice(Existing), DATE],
                "description": "what happens to items that have a price",
            },
            "seller": _seller(),
            "tax": tables(pattern(PERCENT, "a rate, for example 19 %"), names=NAMES, least=1),
            "unit": _units(),
            "plan": tables(plan(whole=True), names=NAMES, least=1),
            "addon": tables(addon(whole=True), names=NAMES),
        },
        ("version", "effective", "seller", "tax", "plan"),
    )


def contract() -> Schema:
    """Of a contract: what differs from a price list."""
    named = texts("names of charges; all without it", once=True)
    term = {"charges": named, "from": DATE, "until": DATE}
    discount = {
        "percent": pattern(PERCENT, "of each line"),
        "amount": pattern(MONTHLY, "off all lines together, for example 50.00 / month"),
    }
    commitment = {
        "amount": pattern(rf"{AMOUNT} ?/ ?(month|year)", "what is paid at least"),
        "tax": text("a category of the base's [tax]"),
    }
    discounts = table(discount | term) | one_of("percent", "amount")
    return whole_file(
        "A contract of rackmeter",
        {
            "contract": pattern(VERSION.pattern, "the version on price and invoice lines"),
            "base": text("the version of the price list that it rests on"),
            "scope": text("the rating scope it holds for"),
            "effective": DATE,
            "until": DATE,
            "plan": tables(plan(whole=False), names=NAMES),
            "addon": tables(addon(whole=False), names=NAMES),
            "discount": tables(discounts, names=NAMES),
            "commitment": tables(table(commitment | term, ("amount", "tax")), names=NAMES),
        },
        ("contract", "base", "scope", "effective"),
    )


SCHEMAS: Final = {"catalogue": catalogue, "contract": contract, "usage": usage}


def _seller() -> Schema:
    bic, iban = (_spaced(found.pattern) for found in (BIC, IBAN))
    return table(
        {
            "entity": pattern(ENTITY.pattern, "a short name, part of invoice numbers"),
            "name": text("the company's name as it is registered"),
            "address": texts("its lines"),
            "vat_id": text("the VAT number"),
            "timezone": text("an IANA name, for example Europe/Berlin"),
            "currency": pattern("|".join(sorted(MINOR_UNITS)), "ISO 4217, for example EUR"),
            "iban": pattern(iban, "account that customers pay to; may be missing"),
            "bic": pattern(bic, "of the bank of that account"),
        },
        ("entity", "name", "address", "vat_id", "timezone", "currency"),
    )


def _spaced(regex: str) -> str:
    """The readers leave out spaces and take small letters."""
    return re.sub(r"(\[[^]]+\])", r"( *\1)", regex.replace("A-Z", "A-Za-z"))


def _units() -> Schema:
    one = table(
        {
            "of": pattern(
                METER.pattern,
                "a meter, a family of meters (net.bytes) or all that count alike (bytes)",
            ),
            "is": {
                "type": "integer",
                "minimum": 1,
                "maximum": MOST,
                "description": "how many base units one is",
            },
            "step": pattern(AMOUNT, "the smallest part billed"),
            "per": {"const": "second", "description": "a rate, for percentiles"},
        },
        ("of", "is", "step"),
    )
    found = tables(one, names=NAMES)
    names = {"pattern": f"^{UNIT}$", "not": {"enum": [*TIME_WORDS]}}
    return found | {"propertyNames": {"allOf": [found["propertyNames"], names]}}
