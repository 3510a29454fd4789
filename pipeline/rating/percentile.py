"""Step 4 of a percentile: the rate that all but the highest windows stay within. Pure.

Of the N whole windows that were owned, floor((100 − percent) × N ÷ 100) are discarded from the top;
the highest left is billed. Items of one pool are summed window by window first; whoever of them was
rented first pays for all, at its terms, and the next one where it is not charged. How many of the
owned windows were measured is told with the rate: a charge may ask for a minimum (``coverage``).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Final

from pipeline.periods import closed
from pipeline.rating.cut import Group, Segment
from schemas.billing import Samples, Scope, Span
from schemas.prices import Missing, Percentile, Take
from schemas.spans import WIDTH_MS

WIDTH: Final = timedelta(milliseconds=WIDTH_MS)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
Windows = dict[int, int]
"""Window number since the epoch → base units."""


@dataclass(frozen=True, slots=True)
class Pooled:
    """What the members of a pool measured in the windows that they owned."""

    owned: set[int]
    measured: dict[str, Windows]
    coverage: Fraction
    """Of the windows of all members the part that was measured, of the meter with the least."""


def percentiles(
    scope: Scope, samples: Iterable[Samples], groups: Sequence[Group], as_of: datetime
) -> list[Group]:
    """One group for each pool, ``paying``, with the rate in base units a window."""
    known = tuple(samples)
    return [
        tuple(replace(part, used=rate(_terms(part), found.owned, found.measured),
                      coverage=found.coverage)
              for part in paying(members))
        for members in pools(groups)
        for found in (pooled(scope, known, members, as_of),)
    ]  # fmt: skip


def paying(members: Iterable[Group]) -> Group:
    """The time that any member is charged for, each part once: on the member rented first."""
    found: list[Segment] = []
    for group in sorted(members, key=lambda group: (group[0].item.valid.start, group[0].item.item)):
        found += [part for segment in group for part in _without(segment, found)]
        found.sort(key=lambda part: part.start)
    return tuple(found)


def _without(segment: Segment, taken: Sequence[Segment]) -> list[Segment]:
    """What none of these covers; they are in order and do not overlap."""
    parts, start = list[Segment](), segment.start
    for other in taken:
        if start < min(other.start, segment.end):
            parts.append(replace(segment, start=start, end=min(other.start, segment.end)))
        start = max(start, other.end)
    return [*parts, replace(segment, start=start)] if start < segment.end else parts


def pools(groups: Sequence[Group]) -> list[list[Group]]:
    """The groups that are billed as one: those of a pool, or one alone."""
    found: dict[tuple[str, str], list[Group]] = defaultdict(list)
    for group in groups:
        pool = _terms(group[-1]).pool
        # A slash is in no name, so no item is taken for a pool.
        found[group[0].row.charge, f"/{pool}" if pool else group[0].item.item].append(group)
    return list(found.values())


def rate(quantity: Percentile, owned: set[int], measured: dict[str, Windows]) -> int:
    """The billed rate of one pool: base units a window."""

    def of(values: Windows) -> int:
        missing = len(owned) - len(values) if quantity.missing is Missing.ZERO else 0
        return percentile([*values.values(), *[0] * missing], quantity.percent)

    if quantity.take is Take.MAX_OF_P95:
        return max((of(values) for values in measured.values()), default=0)
    return of(_combined(measured.values(), largest=quantity.take is Take.P95_OF_MAX))


def percentile(values: Sequence[int], percent: int) -> int:
    """The highest of the values that is left when the top ``100 − percent`` % are discarded."""
    discarded = (100 - percent) * len(values) // 100
    return sorted(values)[len(values) - discarded - 1] if values else 0


def _terms(segment: Segment) -> Percentile:
    quantity = segment.charge.quantity
    assert isinstance(quantity, Percentile)
    return quantity


def _combined(series: Iterable[Windows], largest: bool) -> Windows:
    found: Windows = {}
    for values in series:
        for number, value in values.items():
            before = found.get(number, 0)
            found[number] = max(before, value) if largest else before + value
    return found


def pooled(
    scope: Scope, samples: Sequence[Samples], members: Iterable[Group], as_of: datetime
) -> Pooled:
    """The windows owned by any member, and what each meter measured in them."""
    owned: set[int] = set()
    measured: dict[str, Windows] = defaultdict(dict)
    expected: dict[str, int] = defaultdict(int)
    seen: dict[str, int] = defaultdict(int)
    for group in members:
        meters = _terms(group[-1]).meters
        for server, numbers in _owned(scope, group, as_of):
            owned.update(numbers)
            had: dict[str, set[int]] = {meter: set() for meter in meters}
            for row in samples:
                if row.server == server and row.meter in meters:
                    had[row.meter].update(_add(measured[row.meter], row, numbers))
            for meter in meters:
                expected[meter] += len(numbers)
                seen[meter] += len(had[meter])
    parts = (Fraction(seen[meter], expected[meter]) for meter in expected if expected[meter])
    return Pooled(owned, measured, min(parts, default=Fraction(1)))


def _owned(scope: Scope, group: Group, as_of: datetime) -> Iterator[tuple[str, range]]:
    """Each server that served the item, with the whole windows in which it did."""
    for start, end in _charged(group):
        for row in scope.assignments:
            served = row.valid.clip(start, min(end, as_of))
            if row.item == group[0].item.item and served is not None:
                yield row.server, whole(served)


def _charged(group: Group) -> list[tuple[datetime, datetime]]:
    """The time of the segments; where one follows on another no window is cut."""
    found = [(group[0].start, group[0].end)]
    for segment in group[1:]:
        start, end = found[-1]
        if segment.start == end:
            found[-1] = start, segment.end
        else:
            found.append((segment.start, segment.end))
    return found


def whole(span: Span) -> range:
    """The windows that lie entirely inside."""
    return range(-((EPOCH - span.start) // WIDTH), (closed(span) - EPOCH) // WIDTH)


def _add(sums: Windows, row: Samples, numbers: range) -> Iterator[int]:
    """Adds the row's windows of ``numbers``; yields each that was measured."""
    first = (row.start - EPOCH) // WIDTH
    for at in range(max(numbers.start, first), min(numbers.stop, first + len(row.windows))):
        value = row.windows[at - first]
        if value is not None:
            sums[at] = sums.get(at, 0) + value
            yield at
