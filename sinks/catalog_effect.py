"""What changed prices would have meant for the last whole month of each scope. Reads only.

Both figures come from the one pricing function over the same inputs of the ledger; they differ in
the price rows of the items concerned alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from pipeline.catalog import Catalog
from pipeline.money import exact_sum
from pipeline.periods import closed, month, previous
from pipeline.rating.price import price
from schemas.billing import Inputs, Item, PriceRow, Scope, Span
from sinks.database import Connection
from sinks.queries import usage_inputs_bulk
from sinks.repricing import Touched
from sinks.scopes import load_scopes

BATCH: Final = 200
"""Scopes whose usage is read by one statement."""


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


@dataclass(frozen=True, slots=True)
class _Change:
    """A scope with the prices of before and of after, as if either had always been."""

    period: Span
    items: tuple[str, ...]
    before: Scope
    after: Scope

    @property
    def both(self) -> Scope:
        """All that either measures: what is to be read."""
        return replace(self.before, prices=(*self.before.prices, *self.after.prices))


def effects(conn: Connection, touched: Iterable[Touched], now: datetime) -> list[Effect]:
    """One for each scope, by account and scope."""
    by_scope: dict[str, list[Touched]] = defaultdict(list)
    for one in touched:
        by_scope[one.scope].append(one)
    found: list[Effect] = []
    order = sorted(by_scope)
    for first in range(0, len(order), BATCH):
        names = order[first : first + BATCH]
        scopes = load_scopes(conn, names)
        changes = [_change(scope, by_scope[scope.scope], now) for scope in scopes.values()]
        # An ended month is whole, whatever later instant it is asked for.
        inputs = usage_inputs_bulk(conn, [(c.both, c.period) for c in changes], now)
        found += [_effect(change, one) for change, one in zip(changes, inputs, strict=True)]
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


def _change(scope: Scope, touched: Sequence[Touched], now: datetime) -> _Change:
    period = previous(month(now, scope.timezone), scope.timezone)
    before = _priced_by(scope, {one.item.item: _whole(one, one.before) for one in touched})
    after = _priced_by(scope, {one.item.item: _whole(one, one.after) for one in touched})
    return _Change(period, tuple(sorted(one.item.item for one in touched)), before, after)


def _effect(change: _Change, inputs: Inputs) -> Effect:
    scope, inputs = change.before, replace(inputs, billed=())
    return Effect(
        account=scope.account,
        scope=scope.scope,
        items=change.items,
        period=change.period,
        currency=scope.currency,
        before=_net(change.before, inputs),
        after=_net(change.after, inputs),
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
