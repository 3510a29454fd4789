"""Which scopes make which invoice: an account's scopes of one currency and one period. Reads only.

month 2026-02     every scope rented in that month of its own time zone
as of an instant  the last whole month before it, and final invoices: scopes whose last item has
                  ended in the running month
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from pipeline.periods import closed, month, previous
from schemas.billing import Scope, Span
from schemas.errors import ConfigError
from sinks.database import Connection
from sinks.scopes import list_scopes, load_scopes

ZONES: Final = timedelta(hours=26)
"""Local midnights of one date lie at most this far apart (UTC+14 to UTC−12)."""
LONGEST: Final = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Group:
    """What becomes one invoice."""

    account: str
    currency: str
    timezone: str
    period: Span
    scopes: tuple[str, ...]


def plan(
    conn: Connection,
    *,
    month_of: str | None = None,
    as_of: datetime | None = None,
    accounts: Collection[str] | None = None,
) -> list[Group]:
    """The invoices to be made, by account; exactly one of month and instant is given."""
    if (month_of is None) == (as_of is None):
        raise ConfigError("Close either a month (2026-02) or as of an instant, one of the two.")
    inside = _middle(month_of) if month_of is not None else as_of
    assert inside is not None
    around = Span(inside - 2 * LONGEST - ZONES, inside + LONGEST + ZONES)
    scopes = load_scopes(conn, list_scopes(conn, around))
    groups: dict[tuple[str, str, str, Span], list[str]] = defaultdict(list)
    for scope in scopes.values():
        if accounts is not None and scope.account not in accounts:
            continue
        for period in _periods(scope, inside, final=month_of is None):
            groups[scope.account, scope.currency, scope.timezone, period].append(scope.scope)
    return [
        Group(account, currency, timezone, period, tuple(sorted(names)))
        for (account, currency, timezone, period), names in sorted(groups.items())
    ]


def end_of_service(scope: Scope, period: Span) -> datetime:
    """When the scope has nothing more to come in the period: its own end, or the period's."""
    end, ended = closed(period), scope.ended_at
    return end if ended is None else min(end, max(ended, period.start))


def _periods(scope: Scope, inside: datetime, *, final: bool) -> Iterator[Span]:
    current = month(inside, scope.timezone)
    if not final:
        candidates = [current]
    else:
        candidates = [previous(current, scope.timezone)]
        if scope.ended_at is not None and scope.ended_at <= inside:
            candidates.append(current)
    for period in candidates:
        if any(item.valid.clip(period.start, closed(period)) for item in scope.items):
            yield period


def _middle(text: str) -> datetime:
    """An instant inside that month in every time zone."""
    found = re.fullmatch(r"(\d{4})-(0[1-9]|1[0-2])", text)
    if not found:
        raise ConfigError(f"{text} is no month; write it as 2026-02.")
    return datetime(int(found[1]), int(found[2]), 15, tzinfo=UTC)
