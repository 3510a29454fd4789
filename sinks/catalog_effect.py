"""What changed prices would have meant for the last whole month of each scope. Reads only.

Both figures come from the one pricing function over the same inputs of the ledger; they differ in
the price rows of the items concerned alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from pipeline.catalog import Catalog
from pipeline.money import exact_sum
from pipeline.periods import closed, month, previous
from pipeline.rating.price import price
from schemas.billing import Inputs, Item, PriceRow, Scope, Span
from sinks.catalogs import Touched
from sinks.database import Connection
from sinks.queries import usage_inputs
from sinks.scopes import load_scopes


@dataclass(frozen=True, slots=True)
class Effect:
    """Net of one scope's month, as it was priced and as it would be."""

    account: str
    scope: str
    items: tuple[str, ...]
    period: Span
    currency: str
    before: Decimal
    after: Decimal

    @property
    def change(self) -> Decimal:
        return self.after - self.before


def effects(conn: Connection, touched: Iterable[Touched], now: datetime) -> list[Effect]:
    """One for each scope, by account and scope."""
    by_scope: dict[str, list[Touched]] = defaultdict(list)
    for one in touched:
        by_scope[one.scope].append(one)
    scopes = load_scopes(conn, sorted(by_scope))
    found = [_effect(conn, scopes[scope], mine, now) for scope, mine in by_scope.items()]
    return sorted(found, key=lambda effect: (effect.account, effect.scope))


def between(conn: Connection, old: Catalog, new: Catalog) -> list[Touched]:
    """Every open item of a plan that both have, and that costs something else in each."""
    differ = [n for n, plan in old.plans.items() if n in new.plans and plan != new.plans[n]]
    rows = conn.execute(
        """
        SELECT scope_id, account_id, item_id, title, plan, lower(valid)
        FROM item JOIN rating_scope USING (scope_id)
        WHERE upper_inf(valid) AND plan = ANY(%s) ORDER BY item_id
        """,
        (differ,),
    ).fetchall()
    return [
        Touched(scope, account, item, low, _rows(old, item), _rows(new, item))
        for scope, account, name, title, plan, low in rows
        for item in (Item(name, title, plan, Span(low)),)
    ]


def _rows(catalog: Catalog, item: Item) -> tuple[PriceRow, ...]:
    charges = catalog.plans[item.plan].charges.items()
    return tuple(PriceRow(item.item, n, item.valid, c, catalog.version) for n, c in charges)


def _effect(conn: Connection, scope: Scope, touched: Sequence[Touched], now: datetime) -> Effect:
    period = previous(month(now, scope.timezone), scope.timezone)
    before = _priced_by(scope, {one.item.item: _whole(one, one.before) for one in touched})
    after = _priced_by(scope, {one.item.item: _whole(one, one.after) for one in touched})
    both = replace(scope, prices=(*before.prices, *after.prices))
    inputs = replace(usage_inputs(conn, both, period, closed(period)), billed=())
    return Effect(
        account=scope.account,
        scope=scope.scope,
        items=tuple(sorted(one.item.item for one in touched)),
        period=period,
        currency=scope.currency,
        before=_net(before, inputs),
        after=_net(after, inputs),
    )


def _whole(one: Touched, rows: Iterable[PriceRow]) -> tuple[PriceRow, ...]:
    """What is in force when the change comes, as if it had always been."""
    now = (row for row in rows if row.valid.start <= one.start)
    return tuple(replace(row, valid=one.item.valid) for row in now)


def _priced_by(scope: Scope, rows: dict[str, tuple[PriceRow, ...]]) -> Scope:
    """The scope with the rows of these items in place of its own."""
    others = tuple(row for row in scope.prices if row.item not in rows)
    return replace(scope, prices=(*others, *(row for mine in rows.values() for row in mine)))


def _net(scope: Scope, inputs: Inputs) -> Decimal:
    """What the month itself comes to: no fee for the next one, and none billed before."""
    end = closed(inputs.period)
    return exact_sum(x.net for x in price(scope, inputs, end) if x.service.start < end)
