"""What an item costs and who serves it, of what was chosen for it and from when on. Pure.

A choice holds from its instant until the next one of the same part, in whichever order they were
given. The prices of an item are derived of all its choices, so a command that comes late, or that
changes nothing as long as nobody says more, loses none of the others.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
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


def priced(item: Item, choices: Collection[Choice], lists: Sequence[Catalog]) -> tuple[Priced, ...]:
    """All price rows of the item while it is rented.

    ``lists`` has every version that the choices name, and the base of each contract, in the order
    of their publication.
    """
    known = {one.version: one for one in lists}
    applied = [one for one in choices if one.part is Part.PRICES]
    parts: defaultdict[tuple[Part, str], list[Choice]] = defaultdict(list)
    for one in sorted(choices, key=lambda one: one.at):
        if one.part in (Part.PLAN, Part.ADDON):
            parts[one.part, one.name].append(one)
    found: list[Priced] = []
    for (part, name), mine in sorted(parts.items()):
        for value, version, span in _spans(item.valid, _steps(mine, applied, lists)):
            rented = replace(plan_at(item, choices, span.start), valid=span)
            if part is Part.PLAN:
                found += [Priced(value, row) for row in price_rows(known[version], rented)]
            elif value != NONE:
                rows = addon_rows(known[version], rented, name, int(value), span)
                found += [Priced("", row) for row in rows]
    return tuple(found)


def _steps(
    said: Sequence[Choice], applied: Iterable[Choice], lists: Sequence[Catalog]
) -> Iterator[Step]:
    """What one part is from when on: said of it, in order of time, and at whose prices.

    What it is already goes on at the prices that it has. Prices that were applied take the place
    of those that a choice came with if they were applied after it was made; and if they begin
    after it and are newer ones, or a contract's. Those that lack it change nothing.
    """
    order = {one.version: n for n, one in enumerate(lists)}

    def holds(prices: Choice, own: Choice) -> bool:
        new, old = lists[order[prices.version]], lists[order[own.version]]
        if (own.value not in new.plans) if own.part is Part.PLAN else (own.name not in new.addons):
            return False
        newer = new.then is not None or order[new.version] > order[(old.then or old).version]
        return prices.number > own.number or (prices.at > own.at and newer)

    changes = [one for n, one in enumerate(said) if n == 0 or said[n - 1].value != one.value]
    applied = sorted(applied, key=lambda one: (one.at, one.number))
    for at in sorted({one.at for one in (*changes, *applied)}):
        own = next((one for one in reversed(changes) if one.at <= at), None)
        if own is not None:
            prices = own
            if own.value != NONE:
                rivals = (one for one in reversed(applied) if one.at <= at and holds(one, own))
                prices = next(rivals, own)
            yield at, own.value, prices.version


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
        if span is None:
            continue
        new = replace(one, row=replace(one.row, valid=span))
        same = [n for n, old in enumerate(found) if _goes_on(old, new)]
        if same:
            span = Span(found.pop(same[0]).row.valid.start, span.end)
            new = replace(one, row=replace(one.row, valid=span))
        found.append(new)
    return tuple(found)


def _goes_on(old: Priced, new: Priced) -> bool:
    return old.row.valid.end == new.row.valid.start and old == replace(
        new, row=replace(new.row, valid=old.row.valid)
    )
