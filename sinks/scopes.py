"""Rating scopes as pricing wants them: read from the timelines, whole. Reads only.

A scope's parts are ordered, so that equal timelines give equal scopes and equal digests. Where a
window is shared with another scope, that scope's part of it comes along under the item "": both
then split the window alike, and neither customer sees more of the other.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, LiteralString

from psycopg import sql

from schemas.billing import Assignment, Interval, Item, Named, PriceRow, Scope, Span
from schemas.errors import RefusedError
from schemas.prices import Charge, IntervalKind
from schemas.serial import from_json
from sinks.contracts import Terms, terms_of
from sinks.database import Connection
from sinks.queries import EPOCH, WIDTH

_HEADS: Final = """
    SELECT s.scope_id, s.account_id, a.currency, a.timezone
    FROM rating_scope s JOIN account a USING (account_id) WHERE s.scope_id = ANY(%(scopes)s)
"""
_ITEMS: Final = """
    SELECT scope_id, item_id, title, plan, lower(valid), upper(valid)
    FROM {item} i WHERE scope_id = ANY(%(scopes)s) ORDER BY item_id
"""
_ASSIGNMENTS: Final = """
    SELECT i.scope_id, a.server_id, a.item_id, lower(a.valid), upper(a.valid)
    FROM {assignment} a JOIN {item} i USING (item_id) WHERE i.scope_id = ANY(%(scopes)s)
    UNION
    SELECT i.scope_id, f.server_id, '', lower(f.valid * near), upper(f.valid * near)
    FROM {assignment} a JOIN {item} i USING (item_id)
    CROSS JOIN LATERAL (SELECT tstzrange(
        date_bin(%(width)s, lower(a.valid), %(epoch)s),
        date_bin(%(width)s, upper(a.valid) - '1us'::interval, %(epoch)s) + %(width)s)
    ) windows (near)
    JOIN {assignment} f ON f.server_id = a.server_id AND f.valid && near
    JOIN {item} o ON o.item_id = f.item_id AND o.scope_id <> i.scope_id
    WHERE i.scope_id = ANY(%(scopes)s)
    ORDER BY 1, 3, 4, 2
"""
_PRICES: Final = """
    SELECT i.scope_id, p.item_id, p.charge, lower(p.valid), upper(p.valid),
           p.price::text, p.version, p.reason, c.title
    FROM {item_price} p JOIN {item} i USING (item_id)
    LEFT JOIN catalog_plan c ON (c.version, c.plan) = (p.version, p.plan)
    WHERE i.scope_id = ANY(%(scopes)s)
    ORDER BY p.item_id, p.charge, lower(p.valid)
"""
_INTERVALS: Final = """
    SELECT i.scope_id, v.item_id, v.kind, lower(v.valid), upper(v.valid)
    FROM {item_interval} v JOIN {item} i USING (item_id) WHERE i.scope_id = ANY(%(scopes)s)
    ORDER BY v.item_id, v.kind, lower(v.valid)
"""
PRICES_KEPT: Final = 4096
"""A catalogue has tens, and thousands of servers have the same."""
SCOPES_KEPT: Final = 1024
"""More than a close has in hand between pricing them and sealing them."""
Row = tuple[Any, ...]
_TIMELINES: Final = ("item", "assignment", "item_price", "item_interval")


def load_scope(conn: Connection, scope_id: str, known_at: datetime | None = None) -> Scope:
    """One scope with everything that is true of it, or that was known at an instant."""
    found = load_scopes(conn, [scope_id], known_at)
    if not found:
        raise RefusedError(f"There is no rating scope {scope_id}.")
    return found[scope_id]


def load_scopes(
    conn: Connection, scope_ids: Sequence[str], known_at: datetime | None = None
) -> dict[str, Scope]:
    """Many scopes with six statements; those that do not exist are left out."""
    if not scope_ids:
        return {}
    heads, items, assignments, prices, intervals = (
        _rows(conn, query, scope_ids, known_at)
        for query in (_HEADS, _ITEMS, _ASSIGNMENTS, _PRICES, _INTERVALS)
    )
    item_of, served_of, price_of = _grouped(items), _grouped(assignments), _grouped(prices)
    interval_of, agreed = _grouped(intervals), terms_of(conn, scope_ids, known_at)
    return {
        head[0]: _scope(
            head,
            *(tuple(of[head[0]]) for of in (item_of, served_of, price_of, interval_of)),
            agreed.get(head[0], ((), ())),
        )
        for head in heads
    }


@lru_cache(SCOPES_KEPT)
def _scope(
    head: Row,
    items: tuple[Row, ...],
    assignments: tuple[Row, ...],
    prices: tuple[Row, ...],
    intervals: tuple[Row, ...],
    agreed: Terms,
) -> Scope:
    """Whoever reads the same rows again, to seal what was priced, gets the same scope."""
    scope, account, currency, timezone = head
    said: defaultdict[str, set[tuple[datetime, str]]] = defaultdict(set)
    for item, _, since, *_, title in prices:
        if title is not None:
            said[item].add((since, title))
    return Scope(
        scope,
        account,
        currency,
        timezone,
        tuple(_item(sorted(said[row[0]]), *row) for row in items),
        tuple(Assignment(server, i, Span(lo, hi)) for server, i, lo, hi in assignments),
        tuple(_price(row) for row in prices),
        tuple(Interval(i, IntervalKind(kind), Span(lo, hi)) for i, kind, lo, hi in intervals),
        *agreed,
    )


def _rows(
    conn: Connection, query: LiteralString, scope_ids: Sequence[str], known_at: datetime | None
) -> list[Row]:
    """What a query finds in the timelines, or in what was known of them."""
    table = sql.SQL("{}" if known_at is None else "{}(%(known)s)")
    names = {
        name: table.format(sql.Identifier(name if known_at is None else f"{name}_known"))
        for name in _TIMELINES
    }
    wanted = {"scopes": list(scope_ids), "known": known_at, "width": WIDTH, "epoch": EPOCH}
    return conn.execute(sql.SQL(query).format(**names), wanted).fetchall()


def _grouped(rows: Iterable[Row]) -> defaultdict[str, list[Row]]:
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[0]].append(row[1:])
    return groups


def _item(
    said: Sequence[tuple[datetime, str]],
    item: str, title: str, plan: str, low: datetime, high: datetime | None,
) -> Item:  # fmt: skip
    """``said``: what its plans are called from when on; of no matter to one with a title."""
    named: list[Named] = []
    for since, one in said:
        if not title and (not named or named[-1].title != one):
            named.append(Named(since, one))
    return Item(item, title, plan, Span(low, high), tuple(named))


def _price(row: Row) -> PriceRow:
    item, charge, low, high, price, version, reason, _ = row
    return PriceRow(item, charge, Span(low, high), _charge(price), version, reason)


@lru_cache(PRICES_KEPT)
def _charge(text: str) -> Charge:
    return from_json(Charge, json.loads(text))


def scopes_of_servers(
    conn: Connection, servers: Sequence[str], since: datetime
) -> dict[str, list[str]]:
    """Server → scopes that it has served after `since`; a server that serves none is left out."""
    rows = conn.execute(
        """
        SELECT DISTINCT a.server_id, i.scope_id
        FROM assignment a JOIN item i USING (item_id)
        WHERE a.server_id = ANY(%s) AND (upper_inf(a.valid) OR upper(a.valid) > %s)
        ORDER BY 1, 2
        """,
        (list(servers), since),
    ).fetchall()
    found: dict[str, list[str]] = {}
    for server, scope in rows:
        found.setdefault(server, []).append(scope)
    return found


@dataclass(frozen=True, slots=True)
class Rented:
    """A scope with the times of its items: what a close has to look at."""

    scope: str
    account: str
    currency: str
    timezone: str
    items: tuple[Span, ...]

    @property
    def ended_at(self) -> datetime | None:
        """When the last item ends, or None while one is open."""
        ends = [item.end for item in self.items if item.end is not None]
        return max(ends) if len(ends) == len(self.items) else None


def rented_scopes(
    conn: Connection, period: Span, accounts: Collection[str] | None
) -> Iterator[Rented]:
    """Scopes with an item rented at any time in the period, of all or some accounts, by name."""
    rows = conn.execute(
        """
        SELECT s.scope_id, s.account_id, a.currency, a.timezone,
               array_agg(lower(i.valid)), array_agg(upper(i.valid))
        FROM rating_scope s JOIN account a USING (account_id) JOIN item i USING (scope_id)
        WHERE %s::text[] IS NULL OR s.account_id = ANY(%s)
        GROUP BY 1, 2, 3, 4 HAVING bool_or(i.valid && tstzrange(%s, %s, '[)')) ORDER BY 1
        """,
        (
            None if accounts is None else list(accounts), list(accounts or ()),
            period.start, period.end,
        ),
    )  # fmt: skip
    for scope, account, currency, timezone, lows, highs in rows:
        items = tuple(Span(*both) for both in zip(lows, highs, strict=True))
        yield Rented(scope, account, currency, timezone, items)
