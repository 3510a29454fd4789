"""What differs between two versions, in the words of the file. Pure.

A charge is told field by field, each as a person would write it; two versions differ where their
words do.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from pipeline.catalog import Catalog
from pipeline.catalog_units import RATE_SECONDS
from pipeline.money import exact_text
from pipeline.periods import zone
from schemas.prices import (
    ONCE,
    Allocation,
    Charge,
    Every,
    Fee,
    Graduated,
    Hours,
    Package,
    Percentile,
    PerUnit,
    Quantity,
    Sum,
    Tier,
    Unit,
    Volume,
)
from schemas.terms import Commitment, Discount

Words = dict[str, str]
Terms = tuple[tuple[Discount, ...], tuple[Commitment, ...]]


@dataclass(frozen=True, slots=True)
class Change:
    """One field; ``before`` or ``after`` is empty where it was not there or is gone."""

    place: str
    """``plan.ax-hourly.traffic``, or ``seller``, ``tax``, ``unit.TB``, ``addon.ipv4``."""
    field: str
    before: str
    after: str


def differences(
    old: Catalog, new: Catalog, had: Terms = ((), ()), has: Terms = ((), ())
) -> tuple[Change, ...]:
    """By place, the file's head first; ``had`` and ``has`` are the terms of contracts."""
    before = described(old) | agreed(had, old.seller.timezone)
    after = described(new) | agreed(has, new.seller.timezone)
    places = [*before, *(place for place in after if place not in before)]
    return tuple(c for at in places for c in _changes(at, before.get(at, {}), after.get(at, {})))


def described(catalog: Catalog) -> dict[str, Words]:
    """Every place of the catalogue with its fields; versions and dates are no price."""
    seller = catalog.seller
    found: dict[str, Words] = {
        "seller": {
            "entity": seller.entity,
            "name": seller.name,
            "address": ", ".join(seller.address),
            "vat_id": seller.vat_id,
            "timezone": seller.timezone,
            "currency": seller.currency,
            **{key: said for key in ("iban", "bic") if (said := getattr(seller, key))},
        },
        "tax": {name: f"{rate} %" for name, rate in seller.tax.items()},
    }
    for name, unit in catalog.units.items():
        rate = name in catalog.rates
        size = f"{unit.is_ // RATE_SECONDS:_} {unit.of} a second" if rate else _is(unit)
        found[f"unit.{name}"] = {"is": size, "step": f"{unit.step}"}
    for plan in catalog.plans.values():
        found[f"plan.{plan.name}"] = {"name": plan.title}
        for name, charge in plan.charges.items():
            found[f"plan.{plan.name}.{name}"] = words(charge)
    for addon in catalog.addons.values():
        each = {"each": "by number"} if addon.each else {}
        said = words(addon.charge, catalog)
        found[f"addon.{addon.name}"] = {"name": addon.title, **said, **each}
    return found


def _is(unit: Unit) -> str:
    return f"{unit.is_:_} {unit.of}"


def _pool(catalog: Catalog | None, pool: str) -> Unit:
    """The unit of what a pool holds, as a plan that draws on it is priced; none if nobody does."""
    plans = catalog.plans.values() if catalog else ()
    charges = (charge for plan in plans for charge in plan.charges.values())
    units = (c.unit for c in charges if c.allowance and c.allowance.pool == pool)
    return next(units, ONCE)


def agreed(terms: Terms, timezone: str) -> dict[str, Words]:
    """Every discount and commitment of a contract."""
    discounts, commitments = terms
    found: dict[str, Words] = {}
    for one in discounts:
        less = f"{one.percent} % of each line" if one.percent else f"{one.amount} / month"
        found[f"discount.{one.name}"] = {"off": less, **_term(one, timezone)}
    for least in commitments:
        said = {"amount": f"{least.amount} / {least.term.value}", "tax": least.tax}
        found[f"commitment.{least.name}"] = said | _term(least, timezone)
    return found


def _term(one: Discount | Commitment, timezone: str) -> Words:
    said = {"from": one.valid.start, "until": one.valid.end}
    days = {key: f"{at.astimezone(zone(timezone)):%Y-%m-%d}" for key, at in said.items() if at}
    return {"charges": ", ".join(one.charges) or "all", **days}


def words(charge: Charge, catalog: Catalog | None = None) -> Words:
    """The fields of a charge that say something, each as text; ``catalog`` is an add-on's."""
    said = dict(_quantity(charge.quantity))
    said |= dict(_model(charge))
    if charge.allowance:
        pool = f" in pool {charge.allowance.pool}" if charge.allowance.pool else ""
        whole = "" if charge.allowance.prorate else ", not prorated"
        unit = charge.unit if charge.unit.of else _pool(catalog, charge.allowance.pool)
        said["includes"] = _amount(charge.allowance.quantity, unit) + whole + pool
        if rollover := charge.allowance.rollover:
            most = _amount(rollover.most, charge.unit)
            said["rollover"] = f"at most {most}, expires {_months(rollover.months)}"
    if pack := charge.pack:
        said["adds"] = f"{_amount(pack.quantity, _pool(catalog, pack.pool))} to {pack.pool}"
        said["expires"] = _months(pack.months)
    if charge.commit:
        commit = charge.commit
        said["commit"] = f"{commit.quantity} {charge.unit.name} at {commit.price}"
    if charge.cap is not None:
        said["cap"] = f"{charge.cap} / month"
    if charge.share.taken != charge.share.whole:
        said["share"] = f"{charge.share.taken}/{charge.share.whole}"
    if not charge.prorate:
        said["prorate"] = "none"
    said["tax"] = charge.tax
    said["free"] = ", ".join(charge.free) or "never"
    if told := list(_alerts(charge)):
        said["alert"] = ", ".join(told)
    return said


def _alerts(charge: Charge) -> Iterator[str]:
    yield from (f"{percent} %" for percent in charge.alerts)
    yield from (_amount(quantity, charge.unit) for quantity in charge.alert_quantities)
    yield from (f"{net} net" for net in charge.alert_nets)
    yield from ["forecast"] if charge.forecast else []


def _months(number: int) -> str:
    return "1 month" if number == 1 else f"{number} months"


def _changes(place: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    for name in [*before, *(name for name in after if name not in before)]:
        if before.get(name) != after.get(name):
            yield Change(place, name, before.get(name, ""), after.get(name, ""))


def _quantity(quantity: Quantity) -> Iterator[tuple[str, str]]:
    match quantity:
        case Hours():
            yield "measures", "hours started"
        case Fee(every=every, bill=bill, count=count):
            by = "once" if every is not Every.MONTH else f"each month, in {bill.value}"
            yield "measures", f"a fee {by}"
            if count != 1:
                yield "count", f"{count}"
        case Sum(meters=meters, source=source, gap=gap):
            yield "measures", f"{' + '.join(meters)} from the {source.value}, gaps {gap.value}"
        case Percentile(meters=meters, percent=percent, take=take, missing=missing):
            said = f"{percent}th percentile of {', '.join(meters)} from the {quantity.source.value}"
            yield "measures", f"{said}, {take.value}, missing windows {missing.value}"
            if quantity.pool:
                yield "pool", quantity.pool
            if quantity.coverage:
                yield "coverage", f"{quantity.coverage} %, below: {quantity.below.value}"
        case Allocation(unit=unit, count=count, evidence=evidence):
            yield "measures", f"{count} × {unit.of} allocated"
            if evidence:
                yield "evidence", evidence


def _model(charge: Charge) -> Iterator[tuple[str, str]]:
    unit = charge.unit.name
    match charge.model:
        case PerUnit(price=price):
            yield "price", f"{price} / {unit}"
        case Package(size=size, price=price):
            yield "package", f"{price} / {size} {unit}"
        case Graduated(tiers=tiers):
            yield "graduated", _tiers(tiers, unit)
        case Volume(tiers=tiers):
            yield "volume", _tiers(tiers, unit)


def _tiers(tiers: tuple[Tier, ...], unit: str) -> str:
    begins = (Decimal(0), *(tier.up_to for tier in tiers))
    return ", ".join(
        f"above {begin}: " + " + ".join(_tier(tier, unit))
        for begin, tier in zip(begins, tiers, strict=False)
    )


def _tier(tier: Tier, unit: str) -> Iterator[str]:
    if tier.flat:
        yield f"{tier.flat} flat"
    if tier.price or not tier.flat:
        yield f"{tier.price} / {unit}"


def _amount(base: int, unit: Unit) -> str:
    """Base units in the billing unit; a fee has none of its own."""
    if not unit.of:
        return f"{base:_} base units"
    return f"{exact_text(Fraction(base, unit.is_))} {unit.name}"
