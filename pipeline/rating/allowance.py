"""Step 5: how much of a month's usage is included, and what is left of it when. Pure, base units.

A prorated allowance is quantity × time owned ÷ length of the period, summed over the segments and
rounded up once, so that a price change alone takes nothing away. Time owned is all that the
timelines say about the period, also what is still to come: an open item has its whole allowance
from the first day. An allowance that is not prorated counts once, the largest of the period.

A pool holds the sum of what its members bring; an add-on brings and uses nothing. Everybody draws
in the order of time, at the same time by name of item and charge. What the pot lacks comes from its
lots, packs and what earlier periods left (``lots``).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil

from pipeline.periods import closed, microseconds
from pipeline.rating.cut import Group, Segment, measured
from pipeline.rating.lots import left as left_over
from pipeline.rating.lots import total
from schemas.billing import Lot, Span
from schemas.prices import Allowance, Fee, Rollover

Place = tuple[int, int]
"""Group and segment."""


def allowance(period: Span, segments: Sequence[Segment]) -> int:
    """Base units that one charge of one item brings in the period."""
    length = microseconds(period.start, closed(period))
    terms = [(s.charge.allowance, s.length) for s in segments if s.charge.allowance]
    prorated = (Fraction(a.quantity * owned, length) for a, owned in terms if a.prorate)
    whole = max((a.quantity for a, _ in terms if not a.prorate), default=0)
    return ceil(sum(prorated, Fraction(0))) + whole


def include(
    period: Span, groups: Sequence[Group], lots: Sequence[Lot] = (), timezone: str = "UTC"
) -> list[Group]:
    """The groups with what is left of allowance and lots at the start of each segment."""
    filled = [list(group) for group in groups]
    for pot, members in pots(groups).items():
        mine = [lot for lot in lots if lot.pot == pot]
        if not mine and not any(_at(groups, at).charge.allowance for at in members):
            continue  # nothing is included, nothing is left
        own = included(period, groups, members)
        drawing = [at for at in members if not isinstance(_at(groups, at).charge.quantity, Fee)]
        left = own + total(mine, pot)
        for g, s in drawing:
            filled[g][s] = replace(filled[g][s], included=left)
            left = max(0, left - groups[g][s].used)
        if drawing:
            g, s = drawing[-1]
            used = sum(_at(groups, at).used for at in drawing)
            rollover = _rollover([_at(groups, at) for at in members])
            rest = left_over(mine, pot, period, own, used, rollover, timezone)
            filled[g][s] = replace(filled[g][s], lots=rest)
    return [tuple(group) for group in filled]


def pots(groups: Sequence[Group]) -> dict[str, list[Place]]:
    """Who draws on what, in the order of drawing: a pool by its name, a charge on its own."""
    found: dict[str, list[Place]] = defaultdict(list)
    for g, group in enumerate(groups):
        for s, segment in enumerate(group):
            terms, row = segment.charge.allowance or Allowance(0), segment.row
            own = f"{row.item}/{row.charge}/{measured(segment.charge)}"
            found[f"/{terms.pool}" if terms.pool else own].append((g, s))
    for places in found.values():
        places.sort(key=lambda at: _turn(_at(groups, at)))
    return found


def included(period: Span, groups: Sequence[Group], places: Sequence[Place]) -> int:
    """What one pot holds in the period."""
    members: dict[int, list[Segment]] = defaultdict(list)
    for g, s in places:
        members[g].append(groups[g][s])
    return sum(allowance(period, segments) for segments in members.values())


def _rollover(members: Sequence[Segment]) -> Rollover | None:
    """Of each member the newest terms; together they hand on the sum, for the shortest time."""
    newest = {(m.row.item, m.row.charge): m.charge.allowance for m in members}
    stated = [terms.rollover for terms in newest.values() if terms and terms.rollover]
    if not stated:
        return None
    return Rollover(sum(r.most for r in stated), min(r.months for r in stated))


def _at(groups: Sequence[Group], place: Place) -> Segment:
    return groups[place[0]][place[1]]


def _turn(segment: Segment) -> tuple[object, ...]:
    return segment.start, segment.row.item, segment.row.charge
