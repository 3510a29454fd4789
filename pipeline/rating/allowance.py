"""Step 5: how much of a month's usage is included, and what is left of it when. Pure, base units.

A prorated allowance is quantity × time owned ÷ length of the period, summed over the segments and
rounded up once, so that a price change alone takes nothing away. Time owned is all that the
timelines say about the period, also what is still to come: an open item has its whole allowance
from the first day. An allowance that is not prorated counts once, the largest of the period.

A pool holds the sum of what its members bring; an add-on brings and uses nothing. Everybody draws
in the order of time, at the same time by name of item and charge.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil

from pipeline.periods import closed, microseconds
from pipeline.rating.cut import Group, Segment
from schemas.billing import Span
from schemas.prices import Allowance, Fee

Place = tuple[int, int]
"""Group and segment."""


def allowance(period: Span, segments: Sequence[Segment]) -> int:
    """Base units that one charge of one item brings in the period."""
    length = microseconds(period.start, closed(period))
    terms = [(s.charge.allowance, s.length) for s in segments if s.charge.allowance]
    prorated = (Fraction(a.quantity * owned, length) for a, owned in terms if a.prorate)
    whole = max((a.quantity for a, _ in terms if not a.prorate), default=0)
    return ceil(sum(prorated, Fraction(0))) + whole


def include(period: Span, groups: Sequence[Group]) -> list[Group]:
    """The groups with what is left of the allowance at the start of each segment."""
    filled = [list(group) for group in groups]
    for members in pots(groups).values():
        left = included(period, groups, members)
        for g, s in members:
            segment = groups[g][s]
            if not isinstance(segment.charge.quantity, Fee):
                filled[g][s] = replace(segment, included=left)
                left = max(0, left - segment.used)
    return [tuple(group) for group in filled]


def pots(groups: Sequence[Group]) -> dict[str, list[Place]]:
    """Who draws on what, in the order of drawing: a pool by its name, a charge on its own."""
    found: dict[str, list[Place]] = defaultdict(list)
    for g, group in enumerate(groups):
        for s, segment in enumerate(group):
            terms = segment.charge.allowance or Allowance(0)
            found[f"/{terms.pool}" if terms.pool else str(g)].append((g, s))
    for places in found.values():
        places.sort(key=lambda at: _turn(groups[at[0]][at[1]]))
    return found


def included(period: Span, groups: Sequence[Group], places: Sequence[Place]) -> int:
    """What one pot holds in the period."""
    members: dict[int, list[Segment]] = defaultdict(list)
    for g, s in places:
        members[g].append(groups[g][s])
    return sum(allowance(period, segments) for segments in members.values())


def _turn(segment: Segment) -> tuple[object, ...]:
    return segment.start, segment.row.item, segment.row.charge
