"""Step 11: fees in advance, for the period that follows; what they turned out to be, for this one.

Pure. An invoice carries the next period's fees of what is rented on. Then, when that period closes,
its fees are computed from the timelines as they came to be: where they are what was billed before,
nothing is left to say; where not, they are lines, less what was billed, at the tax rate at which it
was billed (Directive 2006/112/EC, art. 90: less to pay corrects the tax of what was invoiced). So
they are where the period has another rate than they were billed at: the rate is that of the time of
the supply (art. 95, § 27 (1) UStG).

Where the year of a commitment begins in a period, what lies before and what lies in it are settled
apart: the year is told what was spent before by the service of lines.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from pipeline.money import exact_sum
from pipeline.periods import closed, following
from pipeline.rating.charge import Frame, charge_lines
from pipeline.rating.commitment import running
from pipeline.rating.cut import cut
from pipeline.rating.discount import amount_key, discounts
from pipeline.rating.extra import nets
from pipeline.rating.fee import due
from pipeline.rating.once import owed
from schemas.billing import Billed, Inputs, Line, LineKind, Scope, Span
from schemas.prices import Bill, Charge, Fee
from schemas.serial import instant_text

Name = tuple[str, str, str, datetime]
"""Item, charge, tax category, and when the part of the period begins."""


def arrears(frame: Frame, inputs: Inputs, lines: Iterable[Line]) -> Iterator[Line]:
    """The lines of this period that are left when what was billed before is taken off."""
    starts = [frame.period.start, *begun(frame.scope, frame.period)]
    groups: dict[Name, list[Line]] = defaultdict(list)
    for line in lines:
        if of_scope(frame.scope, frame.period, line):
            yield line
        else:
            part = max(start for start in starts if start <= line.service.start)
            groups[line.item, line.charge, line.tax, part].append(line)
    billed: dict[Name, list[Billed]] = defaultdict(list)
    for before in inputs.billed:
        part = before.since or frame.period.start
        billed[before.item, before.charge, before.tax, part].append(before)
    for name in sorted(groups.keys() | billed.keys()):
        mine, paid = groups[name], billed[name]
        same = nets(mine) == exact_sum(one.net for one in paid)
        if not paid or not same or _otherwise_taxed(paid):
            yield from mine
            yield from _taken_off(frame, paid)


def begun(scope: Scope, period: Span) -> list[datetime]:
    """When years of commitments have begun within the period that run on after it, in order."""
    after = following(period, scope.timezone)
    return sorted({y.start for _, y in running(scope, after) if y.start > period.start})


def of_scope(scope: Scope, period: Span, line: Line) -> bool:
    """A true-up or an amount off, which is never billed in advance: it is of many charges, though
    it stands on one.
    """
    if line.kind is not LineKind.DISCOUNT:
        return line.kind is LineKind.TRUE_UP
    amounts = (amount_key(scope, period, one) for one in scope.discounts if one.amount)
    return line.key.startswith(tuple(amounts))


def following_fees(frame: Frame) -> list[Line]:
    """The next period's fees in advance, once this period is over."""
    ahead = any(_is_ahead(row.price) for row in frame.scope.prices)
    if not ahead or frame.as_of < closed(frame.period):
        return []
    period = following(frame.period, frame.scope.timezone)
    coming = Frame(frame.scope, period, closed(period))
    once = owed(frame.scope, period)
    groups = [due(g, period, once) for g in cut(frame.scope, period) if _is_ahead(g[0].charge)]
    lines = [line for group in groups for line in charge_lines(coming, group)]
    return lines + discounts(coming, lines, amounts=False)


def _is_ahead(charge: Charge) -> bool:
    return isinstance(charge.quantity, Fee) and charge.quantity.bill is Bill.ADVANCE


def retaxed(inputs: Inputs, rates: Mapping[str, Decimal]) -> Inputs:
    """The inputs with what was billed at another rate than the period has for its tax category; of
    what did not keep its rate nothing is known.
    """
    billed = (
        replace(one, retaxed=one.rate not in (None, rates.get(one.tax, one.rate)))
        for one in inputs.billed
    )
    return replace(inputs, billed=tuple(billed))


def _otherwise_taxed(paid: Iterable[Billed]) -> bool:
    """What was given back of a rate meanwhile is not billed at it."""
    sums: dict[Decimal | None, list[Decimal]] = defaultdict(list)
    for one in paid:
        if one.retaxed:
            sums[one.rate].append(one.net)
    return any(exact_sum(same) for same in sums.values())


def billed_key(scope: Scope, period: Span, one: Billed) -> str:
    """Of the line that takes it off: what was billed at several rates is several lines."""
    start = instant_text(period.start)
    key = f"{scope.scope}/{one.item}/{one.charge}/{start}/billed/{one.tax}"
    key = key if one.rate is None else f"{key}/{one.rate:f}"
    return key if one.since is None else f"{key}/{instant_text(one.since)}"


def billed_rates(scope: Scope, inputs: Inputs) -> dict[str, Decimal]:
    """The tax rates, by key, of lines that take off what was billed: never the invoice's own."""
    return {
        billed_key(scope, inputs.period, one): one.rate
        for one in inputs.billed
        if one.rate is not None
    }


def _taken_off(frame: Frame, paid: Iterable[Billed]) -> Iterator[Line]:
    """One line for each rate."""
    same: dict[str, list[Billed]] = defaultdict(list)
    for one in paid:
        same[billed_key(frame.scope, frame.period, one)].append(one)
    for key in sorted(same):
        one, net = same[key][0], exact_sum(each.net for each in same[key])
        if net:
            yield Line(
                key=key,
                scope=frame.scope.scope,
                item=one.item,
                charge=one.charge,
                title=f"{one.charge}: {LineKind.BILLED.value}",
                service=Span(one.since or frame.period.start, frame.period.end),
                quantity=Decimal(1),
                unit=LineKind.BILLED.value,
                unit_price=-net,
                net=-net,
                tax=one.tax,
                version="",
                kind=LineKind.BILLED,
                tier=1,
            )
