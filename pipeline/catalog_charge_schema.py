"""JSON Schemas of plans, add-ons and their charges. Pure.

``whole``: all of it is written in one place, as in a price list; a contract says only what differs.
"""

from collections.abc import Iterable
from typing import Final

from pipeline.catalog_allow import AMOUNT_OF, FORECAST, MONTHS, QUANTITY, SHARE_OF
from pipeline.catalog_charge import ANY, COMMIT, COMMIT_PRICE, FIELDS, METERED, SHARE
from pipeline.catalog_model import FROM, MODELS, PACKAGE, PRICE, TIER
from pipeline.catalog_quantity import COVERAGE, MOST
from pipeline.catalog_toml import NAME
from pipeline.catalog_units import AMOUNT
from pipeline.json_schema import (
    Schema,
    at_most_one_of,
    choice,
    one_of,
    pattern,
    table,
    tables,
    text,
    texts,
)
from schemas.prices import Below, Bill, Gap, IntervalKind, Missing, Source, Take

NAMES: Final = NAME.pattern
MONTHLY: Final = rf"{AMOUNT} ?/ ?month"
PERCENT: Final = r"0*(100(\.0+)?|[0-9]{1,2}(\.[0-9]{1,20})?) ?%"
_PRORATE: Final[Schema] = {"enum": ["time", "none"]}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": MOST}


def plan(*, whole: bool) -> Schema:
    """Every field that is not the plan's own is a charge."""
    found: Schema = {
        "type": "object",
        "properties": {"name": text("what customers see"), "tax": text("of all its charges")},
        "additionalProperties": _charge(whole=whole),
        "propertyNames": {"pattern": f"^({NAMES})$", "not": {"enum": [*MODELS]}},
        "required": ["name"] if whole else [],
    }
    if whole:
        each: Schema = {"properties": {"name": {}}, "additionalProperties": {"required": ["tax"]}}
        found |= {"minProperties": 2, "if": {"not": {"required": ["tax"]}}, "then": each}
    return found


def addon(*, whole: bool) -> Schema:
    """A fee, with what it adds to a pool."""
    own = {
        "name": text("what customers see"),
        "each": {"type": "boolean", "description": "booked by number"},
        "adds": pattern(AMOUNT_OF.pattern, "what it adds to a pool, for example 10 TB"),
        "to": text("the pool it adds to"),
        "expires": pattern(MONTHS.pattern, "of a pack, with the month of booking: 3 months"),
    }
    fee = {key: value for key, value in _fields(whole=whole).items() if key in FIELDS["month"]}
    fee["price"] = pattern(rf"{AMOUNT}( ?/ ?month| once)", "9.00 / month or 50.00 once")
    found = table(own | fee, ("name", "tax") if whole else ())
    if not whole:
        return found | at_most_one_of(*MODELS)
    together = {"adds": ["to"], "to": ["adds"], "expires": ["adds"]}
    return found | one_of(*MODELS) | {"dependencies": together}


def _charge(*, whole: bool) -> Schema:
    found = table(_fields(whole=whole))
    kinds = [_without(rf"/ ?{word}", FIELDS[word]) for word in ("hour", "month")]
    amounts = {"items": pattern(AMOUNT_OF.pattern, "a net amount: 25.00 EUR")}
    told = _by("/ ?hour", {"properties": {"alert": amounts}})
    found["allOf"] = [*kinds, _without(" once", FIELDS["once"]), told]
    if not whole:
        return found | at_most_one_of(*MODELS)
    metering = [key for key in METERED if key not in FIELDS["hour"]]
    found["if"] = {"not": {"anyOf": [{"required": [key]} for key in metering]}}
    found["then"] = {"properties": {"price": {"pattern": r"(/ ?(hour|month)| once)\s*$"}}}
    metered = {"meter": {"not": {"anyOf": [{"required": [key]} for key in ("bill", "count")]}}}
    needs = {key: ["meter"] for key in metering if key != "meter"}
    return found | one_of(*MODELS) | {"dependencies": needs | metered}


def _without(word: str, fields: Iterable[str]) -> Schema:
    """A price by that has no other fields."""
    others = [{"required": [key]} for key in ANY if key not in {*fields}]
    return _by(word, {"not": {"anyOf": others}})


def _by(word: str, then: Schema) -> Schema:
    """What holds of a price by that."""
    price = {"type": "string", "pattern": rf"{word}\s*$"}
    return {"if": {"required": ["price"], "properties": {"price": price}}, "then": then}


def _fields(*, whole: bool) -> dict[str, Schema]:
    tiers = tables(
        pattern(TIER.pattern, "1.89 / TB, 5.00 flat or 5.00 flat + 1.89 / TB"),
        names=FROM.pattern,
        least=1,
    )
    tiers["not"] = {"propertyNames": {"pattern": "[1-9]"}}  # the first begins at 0
    tiers["description"] = 'where each tier begins: { 0 = "2.19 / TB", 1000 = "1.89 / TB" }'
    commit = {
        "quantity": pattern(COMMIT.pattern, "what is paid in any case: 250 Mbps"),
        "price": pattern(COMMIT_PRICE.pattern, "of a unit"),
    }
    alert = rf"{SHARE_OF}|{AMOUNT_OF.pattern}|{FORECAST}"
    told = pattern(alert, "50 % of what is included, 25 TB, 100.00 EUR or forecast")
    return {
        "price": pattern(PRICE.pattern, "1.29 / TB, 0.0833 / hour, 9.00 / month or 50.00 once"),
        "package": pattern(PACKAGE.pattern, "for every so many units begun: 5.00 / 100 GB"),
        "graduated": tiers,
        "volume": tiers,
        "tax": text("a category of [tax]"),
        "free": {"type": "array", "items": choice(IntervalKind)},
        "meter": _meter(whole=whole),
        "allow": _allow(whole=whole),
        "commit": table(commit, commit if whole else ()),
        "share": pattern(SHARE.pattern, "parts of a whole: 1/7"),
        "cap": pattern(MONTHLY, "the most that one item pays"),
        "alert": {"type": "array", "items": told, "minItems": 1, "uniqueItems": True},
        "bill": choice(Bill),
        "prorate": _PRORATE,
        "count": _COUNT,
    }


def _allow(*, whole: bool) -> Schema:
    rollover = {
        "most": pattern(AMOUNT_OF.pattern, "what a month hands on at most: 20 TB"),
        "expires": pattern(MONTHS.pattern, "of how many following months: 1 month"),
    }
    allow = {
        "quantity": pattern(QUANTITY.pattern, "for example 20 TB / month"),
        "prorate": _PRORATE,
        "pool": text("shared by all charges of a scope that name it"),
        "rollover": table(rollover, rollover if whole else ()),
    }
    return table(allow, ("quantity",) if whole else ())


def _meter(*, whole: bool) -> Schema:
    coverage = COVERAGE.pattern.replace("[1-9][0-9]*", "100|[1-9][0-9]?")
    fields = {
        "sum": texts("meters to add up", once=True),
        "source": choice(Source),
        "gap": choice(Gap),
        "take": choice(Take),
        "pool": text("items that are summed before the percentile"),
        "missing": choice(Missing),
        "coverage": pattern(coverage, "of the windows that have to be measured: 90 %"),
        "below": choice(Below),
        "allocation": text("what is allocated, for example gpu"),
        "count": _COUNT,
        "evidence": text("a meter shown beside it"),
    }
    percentile = {"^p[1-9][0-9]$": texts("meters of the percentile", once=True)}
    found = table(fields) | {"patternProperties": percentile}
    of_agent = {"source": {"const": Source.AGENT.value}, "gap": {"const": Gap.ZERO.value}}
    found["not"] = {"required": [*of_agent], "properties": of_agent}
    return found | ({"oneOf": [*map(_measured, _MEASURED)]} if whole else {})


_MEASURED: Final = {
    "sum": ("source", "gap"),
    "allocation": ("count", "evidence"),
    "p[1-9][0-9]": ("take", "pool", "missing", "source", "coverage", "below"),
}
"""What a meter measures, and what it may say of that."""


def _measured(kind: str) -> Schema:
    found: Schema = {"propertyNames": {"pattern": f"^({'|'.join((kind, *_MEASURED[kind]))})$"}}
    needs = {"sum": ["sum", "source", "gap"], "allocation": ["allocation"]}
    return found | ({"required": needs[kind]} if kind in needs else {"minProperties": 1})
