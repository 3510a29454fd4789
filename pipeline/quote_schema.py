"""JSON Schema of a usage file. Pure."""

from pipeline.catalog_allow import AMOUNT_OF
from pipeline.catalog_units import AMOUNT, UNIT
from pipeline.json_schema import MOMENT, Schema, choice, pattern, table, tables, text, whole_file
from pipeline.quote_read import MANY
from pipeline.quote_usage import COUNTER
from schemas.prices import IntervalKind
from schemas.terms import CreditKind, TaxMode


def usage() -> Schema:
    """Of a usage file, which `rackmeter catalog price` reads."""
    whole = {"type": "integer", "minimum": 1, "maximum": MANY}
    total = {
        "anyOf": [
            pattern(rf"{AMOUNT} ?{UNIT}", "a quantity in a unit of the catalogue"),
            {"type": "integer", "minimum": 0, "maximum": COUNTER - 1, "description": "base units"},
        ]
    }
    windows = {
        "type": "array",
        "items": {"type": ["integer", "null"], "minimum": 0, "maximum": COUNTER - 1},
    }
    when = table({"from": MOMENT, "until": MOMENT}, ("from", "until"))
    item = {
        "plan": text("a plan of the catalogue"),
        "count": whole,
        "from": MOMENT,
        "until": MOMENT,
        "resize": {
            "type": "array",
            "items": table({"plan": text("the plan from then on"), "at": MOMENT}, ("plan", "at")),
        },
        "addons": tables(whole),
        "usage": tables(total),
        "windows": tables(windows),
        "intervals": table(dict.fromkeys(IntervalKind, when)),
    }
    credit = {
        "kind": choice(CreditKind),
        "amount": pattern(AMOUNT, "in the catalogue's currency"),
    }
    return whole_file(
        "What is used in a month, for a quotation by rackmeter",
        {
            "period": pattern(r"2[01][0-9]{2}-(0[1-9]|1[0-2])", "a month: 2026-10"),
            "timezone": text("an IANA name"),
            "tax": choice(TaxMode),
            "item": tables(table(item, ("plan",))),
            "credit": tables(table(credit, ("kind", "amount"))),
            "earlier": table(
                {
                    "spent": tables(pattern(AMOUNT, "of a year's commitment, net")),
                    "left": tables(pattern(AMOUNT_OF.pattern, "of a pool, to be used now")),
                }
            ),
        },
        ("period", "item"),
    )
