"""Step 5: how much of a month's usage is included. Pure, in base units.

A prorated allowance is quantity × time owned ÷ length of the period, summed over the segments and
rounded up once, so that a price change alone takes nothing away. Time owned is all that the
timelines say about the period, also what is still to come: an open item has its whole allowance
from the first day. An allowance that is not prorated counts once, the largest of the period.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil

from pipeline.periods import closed, microseconds
from pipeline.rating.cut import Segment
from schemas.billing import Overage, Span


def allowance(period: Span, segments: Sequence[Segment[Overage]]) -> int:
    """Base units included for one charge of one item in the period."""
    length = microseconds(period.start, closed(period))
    prorated = sum(
        (Fraction(s.model.allowance * microseconds(s.start, s.end), length) for s in segments
         if s.model.prorate),
        Fraction(0),
    )  # fmt: skip
    whole = max((s.model.allowance for s in segments if not s.model.prorate), default=0)
    return ceil(prorated) + whole


def remaining(included: int, segments: Sequence[Segment[Overage]]) -> list[int]:
    """What is left of ``included`` at the start of each segment: used up in order of time."""
    left: list[int] = []
    for segment in segments:
        left.append(included)
        included = max(0, included - segment.used)
    return left
