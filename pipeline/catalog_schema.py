"""JSON Schemas of the files that people write, for editors: names, shapes and what to choose from.

Pure. An editor checks with them while somebody types (`#:schema` in the first line of a file);
what a schema cannot say, such as which unit fits which meter, the readers do.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

from pipeline.catalog import Existing
from pipeline.catalog_allow import AMOUNT_OF, FORECAST, MONTHS
from pipeline.catalog_charge import FIELDS
from pipeline.catalog_model import FROM, PACKAGE, PRICE
from pipeline.catalog_quantity import COVERAGE
from pipeline.catalog_units import AMOUNT
from schemas.prices import Below, Bill, Gap, IntervalKind, Missing, Source, Take
from schemas.terms import CreditKind, TaxMode

Schema = dict[str, Any]
DIALECT: Final = "http://json-schema.org/draft-07/schema#"
"""What taplo, the language server of most editors, reads."""
DATE: Final[Schema] = {"type": "string", "description": "a day, without quotes: 2026-03-01"}
"""TOML has dates, JSON has none: an editor sees them as text."""


def catalogue() -> Schema:
    """Of a price list."""
    return _file(
        "A price list of rackmeter",
        {
            "version": _text("appears on every price and invoice line"),
            "effective": DATE,
            "existing": {
                "anyOf": [_choice(Existing), DATE],
                "description": "what happens to items that have a price",
            },
            "seller": _seller(),
            "tax": _named(_pattern(r"[0-9]+(\.[0-9]+)? ?%", "a rate, for example 19 %")),
            "unit": _named(_unit()),
            "plan": _named(_plan(required=True)),
            "addon": _named(_addon(required=True)),
        },
        ("version", "effective", "seller", "tax", "unit", "plan"),
    )


def contract() -> Schema:
    """Of a contract: what differs from a price list."""
    term = {"charges": _texts("names of charges; all without it"), "from": DATE, "until": DATE}
    amount = rf"{AMOUNT} ?/ ?month"
    discount = {
        "percent": _pattern(r"[0-9]+(\.[0-9]+)? ?%", "of each line"),
        "amount": _pattern(amount, "off all lines together, for example 50.00 / month"),
    }
    commitment = {
        "amount": _pattern(rf"{AMOUNT} ?/ ?(month|year)", "what is paid at least"),
        "tax": _text("a category of the base's [tax]"),
    }
    return _file(
        "A contract of rackmeter",
        {
            "contract": _text("its name, the version on price and invoice lines"),
            "base": _text("the version of the price list that it rests on"),
            "scope": _text("the rating scope it holds for"),
            "effective": DATE,
            "until": DATE,
            "plan": _named(_plan(required=False)),
            "addon": _named(_addon(required=False)),
            "discount": _named(_object(discount | term)),
            "commitment": _named(_object(commitment | term, ("amount", "tax"))),
        },
        ("contract", "base", "scope", "effective"),
    )


def usage() -> Schema:
    """Of a usage file, which `rackmeter catalog price` reads."""
    whole = {"type": "integer", "minimum": 1}
    total = {
        "anyOf": [
            _pattern(rf"{AMOUNT} ?\S+", "a quantity in a unit of the catalogue"),
            {"type": "integer", "minimum": 0, "description": "base units"},
        ]
    }
    windows = {"type": "array", "items": {"type": ["integer", "null"], "minimum": 0}}
    when = _object({"from": DATE, "until": DATE}, ("from", "until"))
    item = {
        "plan": _text("a plan of the catalogue"),
        "count": whole,
        "from": DATE,
        "until": DATE,
        "resize": {
            "type": "array",
            "items": _object({"plan": _text("the plan from then on"), "at": DATE}, ("plan", "at")),
        },
        "addons": _named(whole),
        "usage": _named(total),
        "windows": _named(windows),
        "intervals": _object(dict.fromkeys(IntervalKind, when)),
    }
    credit = {
        "kind": _choice(CreditKind),
        "amount": _pattern(AMOUNT, "in the catalogue's currency"),
    }
    return _file(
        "What is used in a month, for a quotation by rackmeter",
        {
            "period": _pattern(r"[0-9]{4}-(0[1-9]|1[0-2])", "a month: 2026-10"),
            "timezone": _text("an IANA name"),
            "tax": _choice(TaxMode),
            "item": _named(_object(item, ("plan",))),
            "credit": _named(_object(credit, ("kind", "amount"))),
            "earlier": _object(
                {
                    "spent": _named(_pattern(AMOUNT, "of a year's commitment, net")),
                    "left": _named(_pattern(AMOUNT_OF.pattern, "of a pool, to be used now")),
                }
            ),
        },
        ("period", "item"),
    )


SCHEMAS: Final = {"catalogue": catalogue, "contract": contract, "usage": usage}


def _seller() -> Schema:
    return _object(
        {
            "entity": _text("a short name, part of invoice numbers"),
            "name": _text("the company's name as it is registered"),
            "address": _texts("its lines"),
            "vat_id": _text("the VAT number"),
            "timezone": _text("an IANA name, for example Europe/Berlin"),
            "currency": _pattern("[A-Z]{3}", "ISO 4217"),
        },
        ("entity", "name", "address", "vat_id", "timezone", "currency"),
    )


def _unit() -> Schema:
    return _object(
        {
            "of": _text("a meter, a family of meters (net.bytes) or all that count alike (bytes)"),
            "is": {"type": "integer", "minimum": 1, "description": "how many base units one is"},
            "step": _pattern(r"[0-9]+(\.[0-9]+)?", "the smallest part billed"),
            "per": {"const": "second", "description": "a rate, for percentiles"},
        },
        ("of", "is", "step"),
    )


def _plan(*, required: bool) -> Schema:
    """Every field that is not the plan's own is a charge."""
    return {
        "type": "object",
        "properties": {"name": _text("what customers see"), "tax": _text("of all its charges")},
        "additionalProperties": _object(_charge()),
        "required": ["name"] if required else [],
    }


def _addon(*, required: bool) -> Schema:
    fee = {key: value for key, value in _charge().items() if key in FIELDS["month"]}
    own = {
        "name": _text("what customers see"),
        "each": {"type": "boolean", "description": "booked by number"},
        "adds": _pattern(rf"{AMOUNT} ?\S+", "what it adds to a pool, for example 10 TB"),
        "to": _text("the pool it adds to"),
        "expires": _pattern(MONTHS.pattern, "of a pack, with the month of booking: 3 months"),
    }
    return _object(own | fee, ("name",) if required else ())


def _charge() -> Schema:
    count = {"type": "integer", "minimum": 1}
    tiers = {
        "type": "object",
        "propertyNames": {"pattern": f"^{FROM.pattern}$"},
        "additionalProperties": {"type": "string"},
        "description": 'where each tier begins: { 0 = "2.19 / TB", 1000 = "1.89 / TB" }',
    }
    amount = _pattern(rf"{AMOUNT} ?\S+( ?/ ?month)?", "a quantity, for example 20 TB / month")
    allow = {
        "quantity": amount,
        "prorate": {"enum": ["time", "none"]},
        "pool": _text("shared by all charges of a scope that name it"),
        "rollover": _object(
            {
                "most": _pattern(AMOUNT_OF.pattern, "what a month hands on at most: 20 TB"),
                "expires": _pattern(MONTHS.pattern, "of how many following months: 1 month"),
            },
            ("most", "expires"),
        ),
    }
    alert = rf"[1-9][0-9]* ?%|{AMOUNT_OF.pattern}|{FORECAST}"
    told = _pattern(alert, "50 % of what is included, 25 TB, 100.00 EUR or forecast")
    return {
        "price": _pattern(PRICE.pattern, "1.29 / TB, 0.0833 / hour, 9.00 / month or 50.00 once"),
        "package": _pattern(PACKAGE.pattern, "for every so many units begun: 5.00 / 100 GB"),
        "graduated": tiers,
        "volume": tiers,
        "tax": _text("a category of [tax]"),
        "free": {"type": "array", "items": _choice(IntervalKind)},
        "meter": _meter(),
        "allow": _object(allow),
        "commit": _object({"quantity": amount, "price": _pattern(PRICE.pattern, "of a unit")}),
        "share": _pattern(r"[1-9][0-9]* ?/ ?[1-9][0-9]*", "parts of a whole: 1/7"),
        "cap": _pattern(rf"{AMOUNT} ?/ ?month", "the most that one item pays"),
        "alert": {"type": "array", "items": told},
        "bill": _choice(Bill),
        "prorate": {"enum": ["time", "none"]},
        "count": count,
    }


def _meter() -> Schema:
    fields = {
        "sum": _texts("meters to add up"),
        "source": _choice(Source),
        "gap": _choice(Gap),
        "take": _choice(Take),
        "pool": _text("items that are summed before the percentile"),
        "missing": _choice(Missing),
        "coverage": _pattern(COVERAGE.pattern, "of the windows that have to be measured: 90 %"),
        "below": _choice(Below),
        "allocation": _text("what is allocated, for example gpu"),
        "count": {"type": "integer", "minimum": 1},
        "evidence": _text("a meter shown beside it"),
    }
    percentile = {"^p[1-9][0-9]$": _texts("meters of the percentile")}
    return _object(fields) | {"patternProperties": percentile}


def _file(title: str, properties: Mapping[str, Schema], required: Iterable[str]) -> Schema:
    return {"$schema": DIALECT, "title": title, **_object(properties, required)}


def _object(properties: Mapping[str, Schema], required: Iterable[str] = ()) -> Schema:
    return {
        "type": "object",
        "properties": dict(properties),
        "additionalProperties": False,
        "required": list(required),
    }


def _named(value: Schema) -> Schema:
    """A table of such tables, under names that people give."""
    return {"type": "object", "additionalProperties": value}


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}


def _texts(description: str) -> Schema:
    return {"type": "array", "items": {"type": "string"}, "minItems": 1, "description": description}


def _pattern(pattern: str, description: str) -> Schema:
    return {"type": "string", "pattern": f"^({pattern})$", "description": description}


def _choice(words: type[StrEnum]) -> Schema:
    return {"enum": [word.value for word in words]}
