"""Reads the times of a usage file: when something was rented, changed, free. Pure."""

from collections.abc import Iterable
from datetime import UTC, date, datetime

from pipeline.catalog_head import YEARS
from pipeline.catalog_text import Table
from pipeline.periods import closed, midnight, zone
from schemas.billing import Interval, Item, Span
from schemas.prices import IntervalKind

Stretches = list[tuple[str, Span]]
"""Plans of an item, one after the other."""


def rented(table: Table, period: Span, timezone: str) -> Span:
    noted = len(table.mistakes.found)
    start = _instant(table, "from", timezone) if "from" in table.values else period.start
    end = _instant(table, "until", timezone) if "until" in table.values else None
    if len(table.mistakes.found) > noted:
        return period
    if start >= closed(period):
        table.wrong("from", "it begins after the period")
    elif end is not None and end <= max(start, period.start):
        table.wrong("until", "it ends before the period, or before it begins")
    else:
        return Span(start, end)
    return period


def _instant(table: Table, key: str, timezone: str) -> datetime:
    value = table.values.get(key)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if isinstance(value, date) and value.year not in YEARS:
        value = None
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=zone(timezone))
        return aware.astimezone(UTC)
    if isinstance(value, date):
        return midnight(value.year, value.month, value.day, timezone)
    table.wrong(key, "write a day or a time: 2026-10-05 or 2026-10-05T14:30:00")
    return datetime.fromtimestamp(0, UTC)


def intervals(table: Table, item: Item, timezone: str) -> tuple[Interval, ...]:
    if "intervals" not in table.values:
        return ()
    mend = "write { trial = { from = 2026-10-01, until = 2026-10-08 } }"
    found = []
    for one in table.tables("intervals", mend):
        one.only(("from", "until"))
        start, end = _instant(one, "from", timezone), _instant(one, "until", timezone)
        if one.name not in set(IntervalKind):
            one.note("", f"no kind of interval; write one of {', '.join(IntervalKind)}")
        elif end <= start:
            one.wrong("until", "it ends before it begins")
        else:
            found.append(Interval(item.item, IntervalKind(one.name), Span(start, end)))
    return tuple(found)


def stretches(
    table: Table, plan: str, valid: Span, plans: Iterable[str], timezone: str
) -> Stretches:
    """The plan that the item begins with, and those that `resize` gives it."""
    mend = 'write [{ plan = "ax-large", at = 2026-10-15 }], in the order of time'
    given = table.values.get("resize", [])
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        table.wrong("resize", mend)
        return [(plan, valid)]
    steps = [(plan, valid.start)]
    for one in given:
        step = Table(one, (*table.path, "resize"), table.mistakes)
        step.only(("plan", "at"))
        noted = len(table.mistakes.found)
        to, at = step.choice("plan", sorted(plans)), _instant(step, "at", timezone)
        if len(table.mistakes.found) > noted:
            continue
        if at <= steps[-1][1] or (valid.end is not None and at >= valid.end):
            step.wrong("at", f"it is not rented then, or was resized later: {mend}")
        steps.append((to, at))
    ends = [*(at for _, at in steps[1:]), valid.end]
    return [(name, Span(at, end)) for (name, at), end in zip(steps, ends, strict=True)]
