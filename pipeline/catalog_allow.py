"""Reads what a charge includes, what an add-on adds to it, and when the customer is told. Pure.

What is included comes each month; a pack is bought once and expires; a rollover hands on what a
month leaves.
"""

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from pipeline.catalog_text import Table
from pipeline.catalog_units import (
    AMOUNT,
    TIME_WORDS,
    UNIT,
    Known,
    base_units,
    minor,
    same_family,
    unit,
    unlike,
)
from schemas.prices import Allowance, Charge, Every, Fee, Pack, Rollover, Unit

FORECAST: Final = "forecast"
QUANTITY: Final = re.compile(rf"{AMOUNT} ?{UNIT} ?/ ?month")
AMOUNT_OF: Final = re.compile(rf"{AMOUNT} ?{UNIT}")
MONTHS: Final = re.compile(r"([1-9][0-9]?) months?")
SHARE_OF: Final = r"([1-9][0-9]{0,2}|1000) ?%"
_PERCENT: Final = re.compile(SHARE_OF)
_ALERT_MEND: Final = (
    "write shares of the allowance, quantities, net amounts or a forecast, the first three"
    ' ascending: ["50 %", "100 %", "25 TB", "100.00 EUR", "forecast"]'
)


def read_allow(table: Table, of: Unit, known: Known) -> Allowance | None:
    """Base units a month, and whether they are prorated; nothing included when not stated."""
    if "allow" not in table.values:
        return None
    allow = table.table("allow", 'write { quantity = "20 TB / month", prorate = "time" }')
    allow.only(("quantity", "prorate", "pool", "rollover"))
    prorate = allow.choice("prorate", ("time", "none"), "time") == "time"
    pool = _pool(allow, "pool", of, known) if "pool" in allow.values else ""
    mend = 'write a quantity a month, for example "20 TB / month"'
    quantity = allow.match("quantity", QUANTITY, mend)
    base = _included(allow, "quantity", quantity, of, known)
    return Allowance(base, prorate, pool, _rollover(allow, of, known))


def filled(table: Table, charge: Charge, known: Known) -> Charge:
    """The add-on's charge with what it adds to a pool, each month or as a pack."""
    charge = _booked(charge)
    if not any(key in table.values for key in ("adds", "to", "expires")):
        return charge
    adds = table.match("adds", AMOUNT_OF, 'write what it adds, for example "10 TB"')
    to = table.text("to", "write the pool it adds to, one that a plan's allow names")
    if to and to not in known.pools:
        pools = ", ".join(known.pools) or "none"
        table.wrong("to", f"no allow of a plan has that pool; known are {pools}")
    months = _months(table, charge)
    if adds is None:
        return charge
    own = unit(table, "adds", adds[2], known)
    if why := unlike(own, known.pools.get(to, own), known):
        table.wrong("adds", f"{why}, as the pool is")
    base = base_units(table, "adds", adds[1], own)
    if months:
        return replace(charge, pack=Pack(base, to, months))
    return replace(charge, allowance=Allowance(base, charge.prorate, to))


def alerts(table: Table, of: Unit, known: Known) -> dict[str, Any]:
    """The fields of a charge that say when the customer is told; of rent by net amounts alone."""
    if "alert" not in table.values:
        return {}
    percents: list[int] = []
    quantities: list[int] = []
    nets: list[Decimal] = []
    texts = table.texts("alert", _ALERT_MEND)
    amounts = [AMOUNT_OF.fullmatch(text) for text in texts]
    if of.name in TIME_WORDS and not all(one and one[2] == known.currency for one in amounts):
        table.wrong("alert", f'write net amounts, ascending: ["25.00 {known.currency}"]')
        return {}
    for text, amount in zip(texts, amounts, strict=True):
        if found := _PERCENT.fullmatch(text):
            percents.append(int(found[1]))
        elif amount and amount[2] == known.currency:
            nets.append(minor(table, "alert", amount[1], known.currency))
        elif amount:
            quantities.append(_included(table, "alert", amount, of, known))
        elif text != FORECAST:
            table.wrong("alert", _ALERT_MEND)
    if 0 in quantities or 0 in nets:
        table.wrong("alert", "nothing is above zero from the beginning: write more than 0")
    if "allow" not in table.values and (percents or FORECAST in texts):
        table.wrong("alert", "nothing is included that could be used up: write allow too")
    if any(list(one) != sorted({*one}) for one in (percents, quantities, nets)):
        table.wrong("alert", _ALERT_MEND)
    return {
        "alerts": tuple(percents),
        "alert_quantities": tuple(quantities),
        "alert_nets": tuple(nets),
        "forecast": FORECAST in texts,
    }


def _pool(table: Table, key: str, of: Unit, known: Known) -> str:
    """The pool's name; all that draw on one measure the same."""
    name = table.text(key, 'write the name of a pool, for example "traffic-eu"')
    first = known.pools.setdefault(name, of)
    if not same_family(first, of):
        table.wrong(key, f"the pool holds {first.of}, which {of.name} is no unit of")
    return name


def _included(table: Table, key: str, found: re.Match[str] | None, of: Unit, known: Known) -> int:
    """Base units of a quantity in a unit that fits the price's."""
    if found is None:
        return 0
    own = unit(table, key, found[2], known)
    if why := unlike(own, of, known):
        table.wrong(key, f"{why}, as the price is")
    return base_units(table, key, found[1], own)


def _rollover(allow: Table, of: Unit, known: Known) -> Rollover | None:
    if "rollover" not in allow.values:
        return None
    terms = allow.table("rollover", 'write { most = "20 TB", expires = "1 month" }')
    terms.only(("most", "expires"))
    most = terms.match("most", AMOUNT_OF, 'write what a month hands on at most: "20 TB"')
    mend = 'write in how many following months it can be used: "1 month"'
    months = terms.match("expires", MONTHS, mend)
    base = _included(terms, "most", most, of, known)
    return Rollover(base, int(months[1]) if months else 1)


def _booked(charge: Charge) -> Charge:
    """An add-on's fee that comes once is due when it is booked."""
    fee = charge.quantity
    if not isinstance(fee, Fee) or fee.every is not Every.ONCE:
        return charge
    return replace(charge, quantity=replace(fee, every=Every.BOOKED))


def _months(table: Table, charge: Charge) -> int:
    """In how many months a pack can be used; 0 of what comes each month."""
    once = isinstance(charge.quantity, Fee) and charge.quantity.every is Every.BOOKED
    mend = 'write in how many months it can be used, with that of booking: "3 months"'
    if "expires" in table.values and not once:
        table.wrong("expires", 'what comes each month lasts a month: write price = "79.00 once"')
    elif once:
        found = table.match("expires", MONTHS, mend)
        return int(found[1]) if found else 1
    return 0
