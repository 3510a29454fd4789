"""What an item costs and who serves it, of what was chosen for it and from when on. Pure.

A choice holds from its instant until the next one of the same part, in whichever order they were
given. The prices of an item are derived of all its choices, so a command that comes late, or that
changes nothing as long as nobody says more, loses none of the others.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from pipeline.catalog import Catalog, addon_rows, price_rows, rows_until
from pipeline.periods import closed, month
from schemas.billing import Assignment, Item, PriceRow, Span

NONE: Final = "0"
"""The number of an add-on that was dropped."""


class Part(StrEnum):
    """What of an item is chosen."""

    PLAN = "plan"
    ADDON = "addon"
    SERVER = "server"
    PRICES = "prices"
    """A catalogue or contract that was applied to what the item has."""


@dataclass(frozen=True, slots=True)
class Choice:
    """From ``at`` on the item has this plan, so many of an add-on, this server, these prices."""

    part: Part
    name: str
    """The add-on's; of PRICES their version."""
    at: datetime
    value: str
    """The plan, the number of the add-on or the server."""
    version: str = ""
    """Of the catalogue whose prices it has then."""
    number: int = 0
    """In the order in which they were given."""
    catalog: str = ""
    """Where the version is a contract, the newest catalogue in force at ``at`` that there was."""


@dataclass(frozen=True, slots=True)
class Priced:
    """A price row and the plan that it is of; an add-on's is of none."""

    plan: str
    row: PriceRow


Step = tuple[datetime, str, str]
"""From when on, what, and the version of its prices."""


def chosen(choices: Iterable[Choice], part: Part, at: datetime, name: str = "") -> Choice | None:
    """What holds of a part at an instant."""
    mine = (c for c in choices if (c.part, c.name) == (part, name) and c.at <= at)
    return max(mine, key=lambda one: one.at, default=None)


def follows_at(catalog: Catalog, timezone: str, at: datetime) -> datetime:
    """When items that exist follow a version that is applied at an instant, if they do.

    On the stated day, or with the first period of the account that starts in its time.
    """
    if isinstance(catalog.existing, datetime):
        return max(catalog.existing, catalog.effective)
    earliest = max(at, catalog.effective)
    period = month(earliest, timezone)
    return earliest if earliest == period.start else closed(period)


def plan_at(item: Item, choices: Iterable[Choice], at: datetime) -> Item:
    """The item with the plan that it has then."""
    found = chosen(choices, Part.PLAN, at)
    return item if found is None else replace(item, plan=found.value)


def served(item: Item, choices: Iterable[Choice]) -> tuple[Assignment, ...]:
    """Which server serves the item from when to when."""
    said = sorted((c for c in choices if c.part is Part.SERVER), key=lambda one: one.at)
    spans = _spans(item.valid, [(one.at, one.value, "") for one in said])
    return tuple(Assignment(server, item.item, span) for server, _, span in spans)


def priced(
    item: Item,
    choices: Collection[Choice],
    lists: Sequence[Catalog],
    agreed: Mapping[str, Span] = MappingProxyType({}),
) -> tuple[Priced, ...]:
    """All price rows of the item while it is rented.

    ``lists`` has every version that the choices name, and the base of each contract, older ones
    first; ``agreed`` from when to when each contract of the item's scope holds.
    """
    known = {one.version: one for one in lists}
    parts: defaultdict[tuple[Part, str], list[Choice]] = defaultdict(list)
    for one in sorted(choices, key=lambda one: one.at):
        parts[one.part, "" if one.part is Part.PRICES else one.name].append(one)
    applied = sorted(parts.pop((Part.PRICES, ""), ()), key=lambda one: (one.at, one.number))
    parts.pop((Part.SERVER, ""), None)
    found: list[Priced] = []
    for (part, name), mine in sorted(parts.items()):
        steps = _steps(mine, applied, lists, agreed)
        for value, version, span in _spans(item.valid, steps):
            rented = replace(plan_at(item, choices, span.start), valid=span)
            if part is Part.PLAN:
                found += [Priced(value, row) for row in price_rows(known[version], rented)]
            elif value != NONE:
                rows = addon_rows(known[version], rented, name, int(value), span)
                found += [Priced("", row) for row in rows]
    return _joined(found)


def _joined(rows: Iterable[Priced], since: datetime | None = None) -> tuple[Priced, ...]:
    """What goes on at the same price, from ``since`` on, is one row, of the version that it began
    with. In order of time.
    """
    found: dict[tuple[str, str], list[Priced]] = defaultdict(list)
    for one in rows:
        same = found[one.plan, one.row.charge]
        before = same[-1].row if same else None
        start = one.row.valid.start
        follows = before is not None and (before.valid.end, before.price) == (start, one.row.price)
        if before and follows and (since is None or start >= since):
            span = Span(before.valid.start, one.row.valid.end)
            same[-1] = replace(one, row=replace(before, valid=span))
        else:
            same.append(one)
    return tuple(one for same in found.values() for one in same)


def has(catalog: Catalog, own: Choice) -> bool:
    """It has a price for what was chosen."""
    return own.value in catalog.plans if own.part is Part.PLAN else own.name in catalog.addons


def _steps(
    said: Sequence[Choice],
    applied: Sequence[Choice],
    lists: Sequence[Catalog],
    agreed: Mapping[str, Span],
) -> Iterator[Step]:
    """What one part is from when on, and at whose prices; ``said`` of it in order of time.

    What it is already goes on at the prices that it has.
    """
    changes = [one for n, one in enumerate(said) if n == 0 or said[n - 1].value != one.value]
    edges = {edge for span in agreed.values() for edge in (span.start, span.end) if edge}
    for at in sorted({*edges, *(one.at for one in (*changes, *applied))}):
        own = next((one for one in reversed(changes) if one.at <= at), None)
        if own is not None:
            version = own.version if own.value == NONE else _prices(own, at, applied, lists, agreed)
            yield at, own.value, version


def _meant(own: Choice, lists: Sequence[Catalog], agreed: Mapping[str, Span]) -> str:
    """The version that a choice came with; where that is a contract which one that was told later
    has ended before it, what it would have come with else.
    """
    named = next(one for one in lists if one.version == own.version)
    span = agreed.get(own.version)
    if named.then is None or (span is not None and span.holds(own.at)):
        return own.version
    newest = next((one for one in lists if one.version == own.catalog), named.then)
    return next((one.version for one in (newest, named.then) if has(one, own)), own.version)


def _prices(
    own: Choice,
    at: datetime,
    applied: Sequence[Choice],
    lists: Sequence[Catalog],
    agreed: Mapping[str, Span],
) -> str:
    """Whose prices a choice has at an instant; those that lack it have nothing to say.

    1. Of the contract in force, unless it was made in its time, after it was applied: with others.
    2. Of the base of a contract that ended since it was made, or of what was applied after that.
    3. Of what was applied after it was made; or begins after it, and is newer than its own.
    4. Its own.
    """
    order = {one.version: n for n, one in enumerate(lists)}
    own = replace(own, version=_meant(own, lists, agreed))
    found = own.version
    since = own.at
    for one in applied:
        new, span = lists[order[one.version]], agreed.get(one.version)
        if one.at > at or not has(new, own):
            continue
        if new.then is not None:
            named = one.number < own.number and own.version != one.version
            if span is None or (named and span.start <= own.at):
                continue
            if span.holds(at):
                return one.version
            if span.end is not None and own.at < span.end <= at:
                back = new.then if has(new.then, own) else new
                found, since = back.version, span.end
            continue
        old = lists[order[own.version]]
        newer = order[new.version] > order[(old.then or old).version]
        if (one.number > own.number or (one.at > own.at and newer)) and (
            one.at >= since or since == own.at
        ):
            found = one.version
    return found


def _spans(valid: Span, steps: Iterable[Step]) -> list[tuple[str, str, Span]]:
    """Steps as (what, version, from when to when) within a time; equal ones in a row are one."""
    changes: list[Step] = []
    for step in steps:
        if not changes or changes[-1][1:] != step[1:]:
            changes.append(step)
    ends = [*(at for at, *_ in changes[1:]), None]
    found = [
        (value, version, Span(at, end).inside(valid))
        for (at, value, version), end in zip(changes, ends, strict=True)
    ]
    return [(value, version, span) for value, version, span in found if span is not None]


def changed_from(
    at: datetime, before: Iterable[Priced], after: Iterable[Priced]
) -> tuple[Priced, ...]:
    """What was until ``at``, and from then on what comes; a row that goes on stays one row."""
    found = [replace(one, row=row) for one in before for row in rows_until([one.row], at)]
    for one in after:
        span = one.row.valid.inside(Span(at))
        if span is not None:
            found.append(replace(one, row=replace(one.row, valid=span)))
    return _joined(sorted(found, key=lambda one: one.row.valid.start), at)
