"""Which alert thresholds of a price the current use has reached, or will reach soon. Pure.

A threshold is a share of the allowance, a quantity, or a net amount of a charge; a forecast is of
the whole allowance. Of a percentile quantity and amount are those that are certain: they never
fall.
Every threshold at or below the use is returned each time; inserting one is unique by (threshold,
scope, period, limit version, kind), so a repetition is silent. A changed limit tells again, and so
does a crossing after one that was taken back. Nothing crosses where nothing is included: a
percentage of zero has no meaning.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

from pipeline.budgets import FORECAST, Mark, Said, holds, limit_version, reached_at
from pipeline.live import Live
from pipeline.money import exact_sum, exact_text, minor_units, to_minor
from pipeline.periods import closed
from pipeline.rating.usage_state import Progress
from schemas.billing import PriceRow
from schemas.prices import Charge, Percentile, Unit

AHEAD: Final = timedelta(days=1)
"""A forecast is told when the allowance will be used up within a day: soon enough to act, and not
on the first busy hour of a month. It is taken back when it holds no longer for the whole period.
"""


@dataclass(frozen=True, slots=True)
class Crossing:
    """A threshold and the use; returned where it is reached, or will be."""

    threshold: str
    """``item/charge/80%``, ``…/25 TB``, ``…/100.00 EUR``, ``…/forecast``."""
    percent: int
    """Of ``allowance``; 100 where that is a quantity or an amount."""
    item: str
    charge: str
    used: int
    """Base units, like ``allowance``; of an amount minor units."""
    allowance: int
    unit: Unit
    """The billing unit, for display; of an amount the currency, of nothing."""
    limit_version: str
    kind: str = "crossed"
    at: datetime | None = None
    """Of a forecast: when the allowance is used up at this rate."""
    certain: bool = False
    """Of a percentile, which may stand higher so far."""


def watched(now: Live) -> dict[str, Crossing]:
    """Every threshold that is asked for, reached or not; of the limit's own version."""
    asked = [*_of_use(now.states), *_of_rates(now), *_of_money(now)]
    asked += [_forecast(state, None) for state in _forecasting(now) if state.allowance]
    return {one.threshold: one for one in asked}


def crossings(now: Live, said: Mapping[str, Said] | None = None) -> tuple[Crossing, ...]:
    """Every threshold at or below the use of now, by item and charge.

    Those that were told of the same limit stand until the use is a hundredth of it below.
    """
    before = said or {}
    found = [
        replace(one, limit_version=limit_version(one.limit_version, before.get(one.threshold)))
        for one in watched(now).values()
        if one.kind != FORECAST and _stands(one, before.get(one.threshold))
    ]
    return tuple(sorted(found, key=lambda one: (one.item, one.charge)))


def _stands(one: Crossing, said: Said | None) -> bool:
    told = said is not None and said.crossed and said.version == one.limit_version
    return holds(one.used, one.allowance, one.percent, told=told)


def forecasts(
    now: Live, marks: Mapping[str, Collection[Mark]], told: Collection[str]
) -> tuple[Crossing, ...]:
    """Allowances that will be used up within a day at this rate, and those told that still will be.

    ``marks`` are earlier uses by ``mark_name``, the oldest first; ``told`` are thresholds. One that
    has come true stands.
    """
    found = []
    end = closed(now.inputs.period)
    for state in _forecasting(now):
        name = f"{mark_name(state)}/{FORECAST}"
        if not state.allowance:
            continue
        before = next(iter(marks.get(mark_name(state), ())), None)
        until = end if name in told else min(now.as_of + AHEAD, end)
        at = reached_at(Fraction(state.allowance), _mark(now, state), before, until)
        true = name in told and state.used >= state.allowance
        if at is not None or true:
            version = limit_version(state.limit_version, None)
            found.append(replace(_forecast(state, at), limit_version=version))
    return tuple(found)


def marks_now(now: Live) -> dict[str, Mark]:
    """What each allowance with a forecast has come to."""
    return {mark_name(state): _mark(now, state) for state in _forecasting(now)}


def _forecasting(now: Live) -> Iterator[Progress]:
    return (state for state in now.states if state.charged.forecast)


def _mark(now: Live, state: Progress) -> Mark:
    return Mark(now.as_of, Fraction(state.used))


def mark_name(state: Progress) -> str:
    return f"{state.item}/{state.charge}"


def _of_use(states: Collection[Progress]) -> Iterator[Crossing]:
    for state in states:
        for percent in sorted(set(state.charged.alerts)) if state.allowance else ():
            yield Crossing(
                threshold=f"{state.item}/{state.charge}/{percent}%",
                percent=percent,
                item=state.item,
                charge=state.charge,
                used=state.used,
                allowance=state.allowance,
                unit=state.unit,
                limit_version=state.limit_version,
            )
        for limit in state.charged.alert_quantities:
            place = (state.item, state.charge)
            yield _named(place, state.used, limit, state.unit, state.version)


def _of_rates(now: Live) -> Iterator[Crossing]:
    for place, row in _newest(now, lambda price: price.alert_quantities):
        if isinstance(row.price.quantity, Percentile):
            used = now.sure.get(place, 0)
            for limit in row.price.alert_quantities:
                yield _named(place, used, limit, row.price.unit, row.version, certain=True)


def _of_money(now: Live) -> Iterator[Crossing]:
    currency = now.scope.currency
    for place, row in _newest(now, lambda price: price.alert_nets):
        mine = (line.net for line in now.sure_lines if (line.item, line.charge) == place)
        used = to_minor(exact_sum(mine), currency)
        for amount in row.price.alert_nets:
            limit = to_minor(amount, currency)
            unit, certain = currency_unit(currency), place in now.sure
            yield _named(place, used, limit, unit, row.version, certain=certain)


def currency_unit(currency: str) -> Unit:
    """An amount as a quantity: its base unit is the minor unit."""
    digits = minor_units(currency)
    return Unit(currency, "", 10**digits, Decimal(1).scaleb(-digits))


def _newest(
    now: Live, asked: Callable[[Charge], Collection[object]]
) -> Iterable[tuple[tuple[str, str], PriceRow]]:
    """The price that each charge of each item has, or had last, by now, where it is ``asked``."""
    if not any(asked(row.price) for row in now.scope.prices):
        return ()
    rows = sorted(now.scope.prices, key=lambda row: row.valid.start)
    begun = (row for row in rows if row.valid.clip(now.inputs.period.start, now.as_of))
    newest = {(row.item, row.charge): row for row in begun}
    return ((place, row) for place, row in newest.items() if asked(row.price))


def _named(
    place: tuple[str, str], used: int, limit: int, unit: Unit, version: str, *,
    certain: bool = False,
) -> Crossing:  # fmt: skip
    """Of a quantity or an amount, which its threshold names."""
    item, charge = place
    name = f"{exact_text(Fraction(limit, unit.is_))} {unit.name}"
    return Crossing(
        f"{item}/{charge}/{name}", 100, item, charge, used, limit, unit, version, certain=certain
    )


def _forecast(state: Progress, at: datetime | None) -> Crossing:
    return Crossing(
        f"{mark_name(state)}/{FORECAST}", 100, state.item, state.charge, state.used,
        state.allowance, state.unit, state.limit_version, FORECAST, at,
    )  # fmt: skip
