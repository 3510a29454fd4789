"""What differs between two versions, in the words of the file. Pure.

A charge is told field by field, each as a person would write it; two versions differ where their
words do.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from pipeline.catalog import Catalog
from pipeline.money import exact_text
from schemas.prices import (
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

Words = dict[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """One field; ``before`` or ``after`` is empty where it was not there or is gone."""

    place: str
    """``plan.ax-hourly.traffic``, or ``seller``, ``tax``, ``unit.TB``, ``addon.ipv4``."""
    field: str
    before: str
    after: str


def differences(old: Catalog, new: Catalog) -> tuple[Change, ...]:
    """By place, the file's head first."""
    before, after = described(old), described(new)
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
        found[f"unit.{name}"] = {"is": f"{unit.is_:_} {unit.of}", "step": f"{unit.step}"}
    for plan in catalog.plans.values():
        found[f"plan.{plan.name}"] = {"name": plan.title}
        for name, charge in plan.charges.items():
            found[f"plan.{plan.name}.{name}"] = words(charge)
    for addon in catalog.addons.values():
        each = {"each": "by number"} if addon.each else {}
        found[f"addon.{addon.name}"] = {"name": addon.title, **words(addon.charge), **each}
    return found


def words(charge: Charge) -> Words:
    """The fields of a charge that say something, each as text."""
    said = dict(_quantity(charge.quantity))
    said |= dict(_model(charge))
    if charge.allowance:
        pool = f" in pool {charge.allowance.pool}" if charge.allowance.pool else ""
        whole = "" if charge.allowance.prorate else ", not prorated"
        said["includes"] = _amount(charge.allowance.quantity, charge.unit) + whole + pool
        if rollover := charge.allowance.rollover:
            most = _amount(rollover.most, charge.unit)
            said["rollover"] = f"at most {most}, expires {_months(rollover.months)}"
    if pack := charge.pack:
        said["adds"] = f"{pack.quantity:_} base units to {pack.pool}"
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
