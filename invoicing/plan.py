"""Which scopes make which invoice: an account's scopes of one currency and one period. Reads only.

month 2026-02     every scope that something was rented in, in that month of its own time zone, or
                  that a minimum ends for then: it is settled, whether anything is rented or not
as of an instant  the last whole month before it, and final invoices: scopes whose last item has
                  ended in the running month

Besides, in either: months that had ended when what is to be billed in them was entered
(invoicing.late), and accounts that something is to be corrected for, even if nothing of theirs is
closed. Nothing before the month that an account is said to be billed from.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final, TypeVar

from invoicing.late import entered_late
from pipeline.periods import closed, month, previous
from pipeline.rating.commitment import settles
from schemas.billing import Scope, Span
from schemas.errors import ConfigError
from sinks.billed_from import billed_from
from sinks.contracts import committed_scopes
from sinks.database import Connection
from sinks.scopes import Rented, rented_scopes

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
    correct: Iterable[tuple[str, str, str]] = (),
) -> list[Group]:
    """The invoices to be made, by account; exactly one of month and instant is given.

    ``correct``: account, currency and time zone of whom something is to be corrected for; a group
    without scopes where there is no other.
    """
    if (month_of is None) == (as_of is None):
        raise ConfigError("Close either a month (2026-02) or as of an instant, one of the two.")
    inside = middle(month_of) if month_of is not None else as_of
    assert inside is not None
    around = Span(inside - 2 * LONGEST - ZONES, inside + LONGEST + ZONES)
    groups: dict[tuple[str, str, str, Span], set[str]] = defaultdict(set)
    for scope in rented_scopes(conn, around, accounts):
        for period in _periods(scope, inside, final=month_of is None):
            groups[scope.account, scope.currency, scope.timezone, period].add(scope.scope)
    committed = {one.scope: one for one in committed_scopes(conn, accounts)}
    for one in committed.values():
        period = _whole(inside, one.timezone, final=month_of is None)
        if settles(one.commitments, period, one.timezone):
            groups[one.account, one.currency, one.timezone, period].add(one.scope)
    first = billed_from(conn, accounts)
    since = {account: at for account, (at, _) in first.items()}
    for (name, *whose), period in entered_late(conn, inside, accounts, committed, since):
        groups[whose[0], whose[1], whose[2], period].add(name)
    said = {account: at for account, (at, told) in first.items() if told}
    for key in [key for key in groups if key[0] in said]:
        if key[3].start < _month(said[key[0]], key[2]).start:
            del groups[key]
    there = {key[:2] for key in groups}
    for whom in {*correct, *_corrected(conn, inside, accounts)}:
        if whom[:2] not in there:
            groups[*whom, _whole(inside, whom[2], final=month_of is None)] = set()
    return [
        Group(account, currency, timezone, period, tuple(sorted(names)))
        for (account, currency, timezone, period), names in sorted(groups.items())
    ]


def _corrected(
    conn: Connection, inside: datetime, accounts: Collection[str] | None
) -> list[tuple[str, str, str]]:
    """Of whom recent closes have corrected something: the documents may lack their files."""
    rows = conn.execute(
        """
        SELECT DISTINCT i.account_id, i.currency, a.timezone
        FROM adjustment j JOIN invoice i USING (invoice_id) JOIN account a USING (account_id)
        WHERE j.close_of BETWEEN %s AND %s
          AND (%s::text[] IS NULL OR i.account_id = ANY(%s))
        """,
        (
            inside - 2 * LONGEST - ZONES, inside,
            None if accounts is None else list(accounts), list(accounts or ()),
        ),
    ).fetchall()  # fmt: skip
    return [(account, currency, timezone) for account, currency, timezone in rows]


def end_of_service(scope: Scope, period: Span) -> datetime:
    """When the scope has nothing more to come in the period: its own end, or the period's. Where
    it had ended before, a minimum is still to be settled.
    """
    end, ended = closed(period), scope.ended_at
    return end if ended is None or ended <= period.start else min(end, ended)


def _periods(scope: Rented, inside: datetime, *, final: bool) -> Iterator[Span]:
    candidates = [_whole(inside, scope.timezone, final=final)]
    if final and scope.ended_at is not None and scope.ended_at <= inside:
        candidates.append(_month(inside, scope.timezone))
    for period in candidates:
        if any(item.clip(period.start, closed(period)) for item in scope.items):
            yield period


def first_asked(
    groups: Iterable[Group], month_of: str | None, as_of: datetime | None
) -> datetime | None:
    """When the month that is closed begins, where there is anything to bill in it: not those that
    are billed late besides.
    """
    inside = middle(month_of) if month_of is not None else as_of
    assert inside is not None
    asked = (
        group.period.start
        for group in groups
        if group.scopes
        and group.period.start >= _whole(inside, group.timezone, final=month_of is None).start
    )
    return min(asked, default=None)


def _whole(inside: datetime, timezone: str, *, final: bool) -> Span:
    """The month that is closed as a whole: that of the instant, or the one before."""
    current = _month(inside, timezone)
    return previous(current, timezone) if final else current


@cache
def _month(inside: datetime, timezone: str) -> Span:
    return month(inside, timezone)


def batches(
    groups: Sequence[Group], scopes: int, *, dry: bool = False, due: Collection[str] = ()
) -> Iterator[list[Group]]:
    """Groups of one period and time zone, about so many scopes together; earlier periods first,
    because what an account was billed for them is known when a later one is priced.

    ``dry``: nothing is known of what was not written, so all periods of an account that has
    several, or is ``due`` to be corrected, are in one batch, with others of such accounts
    (``invoicing.batch.rehearsed``).
    """
    turn = sorted(groups, key=lambda one: (one.period.start, one.timezone, one.account))
    months = Counter(group.account for group in groups)
    sizes = Counter[str]()
    for group in groups:
        sizes[group.account] += len(group.scopes)
    often = {
        group.account: group.timezone
        for group in turn
        if dry and (months[group.account] > 1 or group.account in due)
    }
    for names in _together(
        sorted(often, key=lambda name: (often[name], name)), scopes,
        lambda name: (sizes[name], None),
    ):  # fmt: skip
        mine = frozenset(names)
        yield [group for group in turn if group.account in mine]
    yield from _together(
        [group for group in turn if group.account not in often], scopes,
        lambda group: (len(group.scopes), (group.period, group.timezone)),
    )  # fmt: skip


T = TypeVar("T")


def _together(
    ones: Iterable[T], scopes: int, of: Callable[[T], tuple[int, object]]
) -> Iterator[list[T]]:
    """In their order, of one kind and about so many scopes; ``of`` says how many and which kind."""
    together: list[T] = []
    count, kind = 0, None
    for one in ones:
        size, mine = of(one)
        if together and (mine != kind or count + size > scopes):
            yield together
            together, count = [], 0
        together.append(one)
        count, kind = count + size, mine
    if together:
        yield together


def middle(text: str) -> datetime:
    """An instant inside that month in every time zone."""
    found = re.fullmatch(r"(\d{4})-(0[1-9]|1[0-2])", text)
    if not found:
        raise ConfigError(f"{text} is no month; write it as 2026-02.")
    return datetime(int(found[1]), int(found[2]), 15, tzinfo=UTC)
