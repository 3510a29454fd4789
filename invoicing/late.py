"""Months that had ended before anybody knew that there is something to bill in them. Reads only.

     first month that the account is billed for
     |           |           |  x entered
····|--February--|---March---|---April---|
             [x-----------------------…        February and March are late, April is not

Whoever closed them did not know. What was rented before the first (sinks.billed_from) was billed
elsewhere.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from pipeline.periods import closed, following, month
from pipeline.rating.commitment import settles
from schemas.billing import Span
from sinks.contracts import Committed
from sinks.database import Connection

Whose = tuple[str, str, str, str]
"""Scope, account, currency, time zone."""


def entered_late(
    conn: Connection,
    inside: datetime,
    accounts: Collection[str] | None,
    committed: Mapping[str, Committed],
    since: Mapping[str, datetime],
) -> Iterator[tuple[Whose, Span]]:
    """Each such month that had ended by ``inside`` and is not sealed; some more than once.

    ``committed``: what scopes pay at least; of a contract that was entered late, the months in
    which that is settled. ``since``: by account, an instant inside its first month.
    """
    late = [
        (tuple(whose), period)
        for *whose, low, high, known, agreed in _known_late(conn, accounts)
        if whose[1] in since
        for period in _months(Span(low, high), since[whose[1]], min(known, inside), whose[3])
        if not agreed or settles(committed[whose[0]].commitments, period, whose[3])
    ]
    sealed = set(
        conn.execute(
            "SELECT scope_id, period_start FROM scope_seal"
            " JOIN unnest(%s::text[], %s::timestamptz[]) AS w (scope_id, period_start)"
            " USING (scope_id, period_start)",
            ([whose[0] for whose, _ in late], [period.start for _, period in late]),
        ).fetchall()
    )
    yield from (one for one in late if (one[0][0], one[1].start) not in sealed)


def _months(valid: Span, first: datetime, until: datetime, timezone: str) -> Iterator[Span]:
    """Those that hold some of the time, from the first on, and had ended by then."""
    period = month(max(valid.start, month(first, timezone).start), timezone)
    while closed(period) <= until and (valid.end is None or period.start < valid.end):
        yield period
        period = following(period, timezone)


def _known_late(conn: Connection, accounts: Collection[str] | None) -> list[tuple[Any, ...]]:
    """Times of items and contracts that were known in another month than they begin in: scope,
    account, currency, zone, from when to when, since when it is known, whether it is a contract.

    What was known of an item first, and where it ends later than was known once.
    """
    return conn.execute(
        """
        SELECT scope_id, s.account_id, a.currency, a.timezone, low, high, known, agreed
        FROM (
            SELECT i.scope_id, lower(i.valid), upper(i.valid), least(i.entered_at, b.entered_at),
                   false
            FROM item i LEFT JOIN (SELECT item_id, min(entered_at) AS entered_at
                                   FROM item_past GROUP BY 1) b USING (item_id)
            UNION ALL
            SELECT i.scope_id, upper(b.valid), upper(i.valid), b.superseded_at, false
            FROM item i JOIN item_past b USING (item_id)
            WHERE upper(b.valid) < coalesce(upper(i.valid), 'infinity')
            UNION ALL
            SELECT scope_id, lower(valid), upper(valid), entered_at, true
            FROM contract WHERE commitments <> '[]'
        ) late (scope_id, low, high, known, agreed)
        JOIN rating_scope s USING (scope_id) JOIN account a USING (account_id)
        WHERE date_trunc('month', low AT TIME ZONE a.timezone)
              < date_trunc('month', known AT TIME ZONE a.timezone)
          AND (%(accounts)s::text[] IS NULL OR s.account_id = ANY(%(accounts)s))
        """,
        {"accounts": None if accounts is None else list(accounts)},
    ).fetchall()
