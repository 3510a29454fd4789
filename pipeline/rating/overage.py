"""Steps 6 and 7 of a metered charge: the excess in the billing unit, times its price. Pure.

Rounds twice, both half up: the excess to the step of its unit, the line to the minor unit. Usage
within the allowance gives a line of zero: customers want to see what they used.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from fractions import Fraction

from pipeline.money import exact_text, round_money, round_step
from pipeline.rating.allowance import allowance, remaining
from pipeline.rating.cut import Segment, line_key, line_title
from schemas.billing import Line, Overage, Rounding, Scope, Span


def overage_lines(
    scope: Scope, period: Span, segments: Sequence[Segment[Overage]], as_of: datetime
) -> Iterator[Line]:
    """One line for each segment that has begun by ``as_of``."""
    left = remaining(allowance(period, segments), segments)
    for segment, included in zip(segments, left, strict=True):
        if segment.start < as_of:
            yield _line(scope, period, segment, included, min(segment.end, as_of))


def _line(
    scope: Scope, period: Span, segment: Segment[Overage], included: int, end: datetime
) -> Line:
    row, model, unit = segment.row, segment.model, segment.model.unit
    excess = Fraction(max(0, segment.used - included), unit.is_)
    quantity = round_step(excess, unit.step)
    amount = Fraction(quantity) * Fraction(model.price)
    net = round_money(amount, scope.currency)
    return Line(
        key=line_key(scope, period, segment),
        scope=scope.scope,
        item=row.item,
        charge=row.charge,
        title=line_title(segment),
        service=Span(segment.start, end),
        quantity=quantity,
        unit=unit.name,
        unit_price=model.price,
        net=net,
        tax=row.tax,
        version=row.version,
        base_quantity=segment.used,
        allowance=included,
        roundings=(
            Rounding("quantity", exact_text(excess), quantity),
            Rounding("net", exact_text(amount), net),
        ),
    )
