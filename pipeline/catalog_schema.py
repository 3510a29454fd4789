"""JSON Schemas of the files that people write, for editors: names, shapes and what to choose from.

Pure. An editor checks with them while somebody types (`#:schema` in the first line of a file);
what a schema cannot say, such as which unit fits which meter, the readers do.
"""

from typing import Final

from pipeline.catalog import Existing
from pipeline.catalog_allow import AMOUNT_OF, FORECAST, MONTHS
from pipeline.catalog_charge import FIELDS
from pipeline.catalog_model import FROM, PACKAGE, PRICE
from pipeline.catalog_quantity import COVERAGE
from pipeline.catalog_units import AMOUNT
from pipeline.json_schema import (
    DATE,
    Schema,
    choice,
    pattern,
    table,
    tables,
    text,
    texts,
    whole_file,
)
from pipeline.quote_schema import usage
from schemas.prices import Below, Bill, Gap, IntervalKind, Missing, Source, Take


def catalogue() -> Schema:
    """Of a price list."""
    return whole_file(
        "A price list of rackmeter",
        {
            "version": text("appears on every price and invoice line"),
            "effective": DATE,
            "existing": {
                "anyOf": [choice(Existing), DATE],
                "description": "what happens to items that have a price",
            },
            "seller": _seller(),
            "tax": tables(pattern(r"[0-9]+(\.[0-9]+)? ?%", "a rate, for example 19 %")),
            "unit": tables(_unit()),
            "plan": tables(_plan(required=True)),
            "addon": tables(_addon(required=True)),
        },
        ("version", "effective", "seller", "tax", "unit", "plan"),
    )


def contract() -> Schema:
    """Of a contract: what differs from a price list."""
    term = {"charges": texts("names of charges; all without it"), "from": DATE, "until": DATE}
    amount = rf"{AMOUNT} ?/ ?month"
    discount = {
        "percent": pattern(r"[0-9]+(\.[0-9]+)? ?%", "of each line"),
        "amount": pattern(amount, "off all lines together, for example 50.00 / month"),
    }
    commitment = {
        "amount": pattern(rf"{AMOUNT} ?/ ?(month|year)", "what is paid at least"),
        "tax": text("a category of the base's [tax]"),
    }
    return whole_file(
        "A contract of rackmeter",
        {
            "contract": text("its name, the version on price and invoice lines"),
            "base": text("the version of the price list that it rests on"),
            "scope": text("the rating scope it holds for"),
            "effective": DATE,
            "until": DATE,
            "plan": tables(_plan(required=False)),
            "addon": tables(_addon(required=False)),
            "discount": tables(table(discount | term)),
            "commitment": tables(table(commitment | term, ("amount", "tax"))),
        },
        ("contract", "base", "scope", "effective"),
    )


SCHEMAS: Final = {"catalogue": catalogue, "contract": contract, "usage": usage}


def _seller() -> Schema:
    return table(
        {
            "entity": text("a short name, part of invoice numbers"),
            "name": text("the company's name as it is registered"),
            "address": texts("its lines"),
            "vat_id": text("the VAT number"),
            "timezone": text("an IANA name, for example Europe/Berlin"),
            "currency": pattern("[A-Z]{3}", "ISO 4217"),
            "iban": text("account that customers pay to; may be missing"),
            "bic": text("of the bank of that account"),
        },
        ("entity", "name", "address", "vat_id", "timezone", "currency"),
    )


def _unit() -> Schema:
    return table(
        {
            "of": text("a meter, a family of meters (net.bytes) or all that count alike (bytes)"),
            "is": {"type": "integer", "minimum": 1, "description": "how many base units one is"},
            "step": pattern(r"[0-9]+(\.[0-9]+)?", "the smallest part billed"),
            "per": {"const": "second", "description": "a rate, for percentiles"},
        },
        ("of", "is", "step"),
    )


def _plan(*, required: bool) -> Schema:
    """Every field that is not the plan's own is a charge."""
    return {
        "type": "object",
        "properties": {"name": text("what customers see"), "tax": text("of all its charges")},
        "additionalProperties": table(_charge()),
        "required": ["name"] if required else [],
    }


def _addon(*, required: bool) -> Schema:
    fee = {key: value for key, value in _charge().items() if key in FIELDS["month"]}
    own = {
        "name": text("what customers see"),
        "each": {"type": "boolean", "description": "booked by number"},
        "adds": pattern(rf"{AMOUNT} ?\S+", "what it adds to a pool, for example 10 TB"),
        "to": text("the pool it adds to"),
        "expires": pattern(MONTHS.pattern, "of a pack, with the month of booking: 3 months"),
    }
    return table(own | fee, ("name",) if required else ())


def _charge() -> Schema:
    count = {"type": "integer", "minimum": 1}
    tiers = {
        "type": "object",
        "propertyNames": {"pattern": f"^{FROM.pattern}$"},
        "additionalProperties": {"type": "string"},
        "description": 'where each tier begins: { 0 = "2.19 / TB", 1000 = "1.89 / TB" }',
    }
    amount = pattern(rf"{AMOUNT} ?\S+( ?/ ?month)?", "a quantity, for example 20 TB / month")
    allow = {
        "quantity": amount,
        "prorate": {"enum": ["time", "none"]},
        "pool": text("shared by all charges of a scope that name it"),
        "rollover": table(
            {
                "most": pattern(AMOUNT_OF.pattern, "what a month hands on at most: 20 TB"),
                "expires": pattern(MONTHS.pattern, "of how many following months: 1 month"),
            },
            ("most", "expires"),
        ),
    }
    alert = rf"[1-9][0-9]* ?%|{AMOUNT_OF.pattern}|{FORECAST}"
    told = pattern(alert, "50 % of what is included, 25 TB, 100.00 EUR or forecast")
    return {
        "price": pattern(PRICE.pattern, "1.29 / TB, 0.0833 / hour, 9.00 / month or 50.00 once"),
        "package": pattern(PACKAGE.pattern, "for every so many units begun: 5.00 / 100 GB"),
        "graduated": tiers,
        "volume": tiers,
        "tax": text("a category of [tax]"),
        "free": {"type": "array", "items": choice(IntervalKind)},
        "meter": _meter(),
        "allow": table(allow),
        "commit": table({"quantity": amount, "price": pattern(PRICE.pattern, "of a unit")}),
        "share": pattern(r"[1-9][0-9]* ?/ ?[1-9][0-9]*", "parts of a whole: 1/7"),
        "cap": pattern(rf"{AMOUNT} ?/ ?month", "the most that one item pays"),
        "alert": {"type": "array", "items": told},
        "bill": choice(Bill),
        "prorate": {"enum": ["time", "none"]},
        "count": count,
    }


def _meter() -> Schema:
    fields = {
        "sum": texts("meters to add up"),
        "source": choice(Source),
        "gap": choice(Gap),
        "take": choice(Take),
        "pool": text("items that are summed before the percentile"),
        "missing": choice(Missing),
        "coverage": pattern(COVERAGE.pattern, "of the windows that have to be measured: 90 %"),
        "below": choice(Below),
        "allocation": text("what is allocated, for example gpu"),
        "count": {"type": "integer", "minimum": 1},
        "evidence": text("a meter shown beside it"),
    }
    percentile = {"^p[1-9][0-9]$": texts("meters of the percentile")}
    return table(fields) | {"patternProperties": percentile}
