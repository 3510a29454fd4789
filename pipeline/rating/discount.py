"""Step 8: discounts on lines and on what a scope pays, each a line of its own. Pure.

A percentage is taken of every line, what earlier discounts left of it, in the order of names, and
rounds once a line. An amount is taken of what is left of all lines together, shared among tax
categories by their nets in whole minor units, so that it sums exactly; and among what commitments
to some charges count and what they do not. Nothing falls below zero.

Rounds here: what a percentage takes of a line, and the part of an amount that a part of the period
has, each to the minor unit, half up. Parts of one period add up to it: they are differences of
rounded cumulative shares.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from pipeline.attribute import apportion
from pipeline.money import from_minor, round_money, to_minor
from pipeline.periods import closed, microseconds
from pipeline.rating.charge import Frame
from pipeline.rating.commitment import counts as counts_towards
from pipeline.rating.extra import extra
from schemas.billing import Line, LineKind, Scope, Span
from schemas.serial import instant_text
from schemas.terms import Discount

Left = dict[str, Decimal]
"""What is left of each line, by its key."""


def discounts(frame: Frame, lines: Sequence[Line], amounts: bool = True) -> list[Line]:
    """The discount lines, amounts too unless the lines are of another period."""
    left = {line.key: line.net for line in lines}
    found: list[Line] = []
    for discount in sorted(frame.scope.discounts, key=lambda one: (one.name, one.valid.start)):
        mine = [line for line in lines if counts(discount, line)]
        if discount.percent:
            found += _percent(frame, discount, mine, left)
        if discount.amount and amounts:
            found += _amount(frame, discount, mine, left)
    return found


def counts(discount: Discount, line: Line) -> bool:
    """The line is one of the discount's charges, in its time."""
    named = not discount.charges or line.charge in discount.charges
    return named and discount.valid.holds(line.service.start)


def _percent(frame: Frame, discount: Discount, lines: Sequence[Line], left: Left) -> Iterator[Line]:
    for line in lines:
        exact = Fraction(left[line.key]) * Fraction(discount.percent) / 100
        off = round_money(exact, frame.scope.currency)
        if off:
            left[line.key] -= off
            key = f"{line.key}/discount/{discount.name}"
            title = f"{line.title}, {discount.name} {discount.percent} %"
            yield extra(LineKind.DISCOUNT, key, title, -off, line)


def amount_key(scope: Scope, period: Span, discount: Discount) -> str:
    """What the keys of its lines begin with: when it begins in the period, as a contract that is
    renewed may keep the name."""
    begins = instant_text(max(discount.valid.start, period.start))
    return f"{scope.scope}/discount/{discount.name}/{begins}/"


def _amount(frame: Frame, discount: Discount, lines: Sequence[Line], left: Left) -> Iterator[Line]:
    """One line for each tax category and set of commitments, on its first line; of the time in
    which it is in force.
    """
    time = discount.valid.clip(frame.period.start, closed(frame.period))
    if time is None:
        return
    currency, prefix = frame.scope.currency, amount_key(frame.scope, frame.period, discount)
    kinds = {line.key: _kind(frame, line) for line in lines}
    parts = {kind: [x for x in lines if kinds[x.key] == kind]
             for kind in sorted({*kinds.values()})}  # fmt: skip
    bases = [to_minor(sum((left[x.key] for x in mine), Decimal(0)), currency)
             for mine in parts.values()]  # fmt: skip
    due = prorated(discount.amount, time, frame.period, currency)
    off = min(to_minor(due, currency), sum(bases))
    if not off:
        return
    for (kind, mine), share in zip(parts.items(), apportion(off, bases), strict=True):
        if share:
            for line, part in zip(mine, _spread(share, mine, left, currency), strict=True):
                left[line.key] -= part
            key, net = f"{prefix}{'/'.join(kind)}", -from_minor(share, currency)
            yield extra(LineKind.DISCOUNT, key, discount.name, net, mine[0], time)


def prorated(amount: Decimal, time: Span, period: Span, currency: str) -> Decimal:
    """What is due of an amount a period for a part of it."""
    length = microseconds(period.start, closed(period))

    def until(instant: datetime) -> Decimal:
        passed = Fraction(microseconds(period.start, instant), length)
        return round_money(passed * Fraction(amount), currency)

    return until(closed(time)) - until(time.start)


def _kind(frame: Frame, line: Line) -> tuple[str, ...]:
    """Its tax category, and the commitments to some charges that count it."""
    start, end = frame.period.start, closed(frame.period)
    named = {
        one.name
        for one in frame.scope.commitments
        if one.charges and one.valid.clip(start, end) and counts_towards(one, line)
    }
    return line.tax, *sorted(named)


def _spread(share: int, lines: Sequence[Line], left: Left, currency: str) -> list[Decimal]:
    weights = [to_minor(left[line.key], currency) for line in lines]
    return [from_minor(part, currency) for part in apportion(share, weights)]
