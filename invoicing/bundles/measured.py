"""The windows and readings of a bundle against its sealed invoice.

Windows sum to every pricing input, are every sample of a percentile, and make every day of every
line; what the invoice shows of readings is among them.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import accumulate

from invoicing.bundles.files import READINGS, WINDOWS, Table
from invoicing.document import Document, Priced, Series, of_scopes
from invoicing.lines import local_days
from invoicing.pieces import WIDTH, metered
from invoicing.proof import Finding, owned_by
from pipeline.periods import closed
from schemas.billing import Usage
from schemas.prices import Sum
from schemas.serial import instant_text

Name = tuple[str, str, str]
"""Server, meter, resource."""


class _Course:
    """The windows of one series, summed, and fast to sum."""

    def __init__(self, windows: dict[datetime, int]) -> None:
        self.windows = windows
        self._starts = sorted(windows)
        self._sums = [0, *accumulate(windows[at] for at in self._starts)]

    def total(self, start: datetime, end: datetime) -> int:
        low, high = bisect_left(self._starts, start), bisect_left(self._starts, end)
        return self._sums[high] - self._sums[low]


def windows_findings(document: Document, found: Table) -> Iterator[Finding]:
    sums: dict[Name, dict[datetime, int]] = defaultdict(lambda: defaultdict(int))
    for server, meter, resource, start, quantity, *_ in found.rows:
        sums[server, meter, resource][datetime.fromisoformat(start)] += int(quantity)
    courses = {name: _Course(windows) for name, windows in sums.items()}
    entries = [(f"priced[{n}]", one) for n, one in enumerate(document.priced)]
    entries += [(f"adjusted[{n}].priced", one.priced) for n, one in enumerate(document.adjusted)]
    for where, entry in entries:
        yield from _usage(where, entry, courses)
        yield from _samples(where, entry, courses)
    yield from _unpriced([entry for _, entry in entries], courses)
    yield from _days(document, courses)


def _usage(where: str, entry: Priced, courses: dict[Name, _Course]) -> Iterator[Finding]:
    for number, row in enumerate(entry.inputs.usage):
        course = courses.get((row.server, row.meter, row.resource))
        total = course.total(row.start, row.end) if course else 0
        if total != row.quantity:
            yield Finding(
                WINDOWS,
                f"{row.server} {row.meter} {row.resource} sums to {total} from"
                f" {instant_text(row.start)} to {instant_text(row.end)}, the invoice's"
                f" {where}.inputs.usage[{number}] says {row.quantity}",
            )


def _samples(where: str, entry: Priced, courses: dict[Name, _Course]) -> Iterator[Finding]:
    for number, row in enumerate(entry.inputs.samples):
        course = courses.get((row.server, row.meter, row.resource))
        known = course.windows if course else {}
        for at, value in enumerate(row.windows):
            start = row.start + at * WIDTH
            if known.get(start) != value:
                yield Finding(
                    WINDOWS,
                    f"{row.server} {row.meter} {row.resource} has {known.get(start)} at"
                    f" {instant_text(start)}, the invoice's {where}.inputs.samples[{number}]"
                    f" says {value}",
                )


def _unpriced(entries: list[Priced], courses: dict[Name, _Course]) -> Iterator[Finding]:
    """Windows of summed meters that no pricing input holds."""
    summed = {
        meter for entry in entries for row in entry.scope.prices
        if isinstance(row.price.quantity, Sum) for meter in row.price.quantity.meters
    }  # fmt: skip
    held: dict[Name, list[Usage]] = defaultdict(list)
    for entry in entries:
        for row in entry.inputs.usage:
            held[row.server, row.meter, row.resource].append(row)
    for name, course in sorted(courses.items()):
        for start, quantity in course.windows.items():
            inside = any(row.start <= start < row.end for row in held[name])
            if name[1] in summed and quantity and not inside:
                yield Finding(WINDOWS, f"{' '.join(name)} has {quantity} at {instant_text(start)},"
                              " which the invoice does not hold")  # fmt: skip


def _days(document: Document, courses: dict[Name, _Course]) -> Iterator[Finding]:
    """Each line's days, from the windows."""
    days = local_days(document.period, document.timezone)
    made = {one.scope.scope: _of_windows(one, courses) for one in document.priced}
    lines = [row.line for row in of_scopes(document)]
    for number, row in enumerate(of_scopes(document)):
        entry = made[row.line.scope]
        if metered(entry.scope, row.line) is None:
            continue
        sums: dict[Name, list[int]] = defaultdict(lambda: [0] * len(days))
        for part in owned_by(entry, lines, row.line):
            at = bisect_right(days, part.start) - 1
            sums[part.server, part.meter, part.resource][at] += part.quantity
        yield from _compared(f"lines[{number}]", row.evidence, sums, days)


def _compared(
    where: str, evidence: tuple[Series, ...], sums: dict[Name, list[int]], days: list[datetime]
) -> Iterator[Finding]:
    for one in evidence:
        computed = sums[one.server, one.meter, one.resource]
        for start, stated, found in zip(days, one.days, computed, strict=True):
            if stated != found:
                yield Finding(
                    WINDOWS,
                    f"{one.server} {one.meter} {one.resource} sums to {found} on the day from"
                    f" {instant_text(start)}, {where} of the invoice says {stated}",
                )


def _of_windows(entry: Priced, courses: dict[Name, _Course]) -> Priced:
    """The same with the windows themselves as usage."""
    period = entry.inputs.period
    usage = tuple(
        Usage(*name, start, start + WIDTH, quantity)
        for name, course in sorted(courses.items())
        for start, quantity in course.windows.items()
        if period.start <= start < closed(period)
    )
    return replace(entry, inputs=replace(entry.inputs, usage=usage))


def readings_findings(document: Document, found: Table) -> Iterator[Finding]:
    """What the invoice shows of readings is among them."""
    known = {tuple(row) for row in found.rows}
    for number, row in enumerate(document.lines):
        for series in row.evidence:
            for one in series.readings:
                said = (
                    series.server, series.meter, series.resource, one.origin, instant_text(one.at),
                    one.kind, one.seq, one.value, one.topic, one.partition, one.offset,
                )  # fmt: skip
                if tuple(map(str, said)) not in known:
                    yield Finding(
                        READINGS,
                        f"lacks {series.server} {series.meter} report {one.seq} of origin"
                        f" {one.origin}, which lines[{number}] shows",
                    )
