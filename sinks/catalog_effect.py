"""What changed prices would have meant for the last whole month of each scope. Reads only.

Both figures come from the one pricing function over the same inputs of the ledger; they differ in
the price rows of the items concerned alone, and of a contract in its discounts and commitments.
What is in force when the change comes counts as if it had always been.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from pipeline.catalog import Catalog, addon_row
from pipeline.choices import NONE, Choice, Part, chosen, follows_at, plan_at
from pipeline.contract import Contract
from pipeline.money import exact_sum, round_money
from pipeline.periods import closed, month, previous
from pipeline.rating.price import price
from schemas.billing import Inputs, Item, PriceRow, Scope, Span
from sinks.catalogs import since
from sinks.choices import Choices, load_choices
from sinks.contracts import Terms, agreed_of, terms_of
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
class Agreed:
    """Terms of a scope that change with its prices: those in force before, and after."""

    scope: str
    before: Terms
    after: Terms


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


def effects(
    conn: Connection, touched: Iterable[Touched], now: datetime, agreed: Agreed | None = None
) -> list[Effect]:
    """One for each scope, by account and scope."""
    by_scope: dict[str, list[Touched]] = defaultdict(list)
    for one in touched:
        by_scope[one.scope].append(one)
    if agreed and agreed.before != agreed.after:
        by_scope.setdefault(agreed.scope, [])
    found: list[Effect] = []
    order = sorted(by_scope)
    for first in range(0, len(order), BATCH):
        names = order[first : first + BATCH]
        scopes = load_scopes(conn, names)
        changes = [_change(s, by_scope[s.scope], now, agreed) for s in scopes.values()]
        # An ended month is whole, whatever later instant it is asked for.
        inputs = usage_inputs_bulk(conn, [(c.both, c.period) for c in changes], now)
        found += [_effect(change, one) for change, one in zip(changes, inputs, strict=True)]
    return sorted(found, key=lambda effect: (effect.account, effect.scope))


def without_plan(conn: Connection, catalog: Catalog, at: datetime) -> list[tuple[str, str, str]]:
    """Item, account and plan of what keeps its prices because the catalogue lacks the plan that it
    has when it would follow it, applied at ``at``.
    """
    rented, _ = _rented(conn, "", at, catalog)
    return [
        (item.item, account, item.plan)
        for _, account, item in rented
        if item.plan not in catalog.plans
    ]


def agreed_on(conn: Connection, contract: Contract) -> Agreed:
    """What a contract that is not applied yet changes about its scope's terms."""
    scope, start = contract.scope, contract.valid.start
    had = terms_of(conn, [scope]).get(scope, ((), ()))
    has = contract.discounts, contract.commitments
    return Agreed(scope, in_force(had, start), in_force(has, start))


def in_force(terms: Terms, at: datetime) -> Terms:
    """Those of the terms that hold at an instant."""
    discounts, commitments = terms
    return (
        tuple(one for one in discounts if one.valid.holds(at)),
        tuple(one for one in commitments if one.valid.holds(at)),
    )


def between(conn: Connection, old: Catalog, new: Catalog, at: datetime) -> list[Touched]:
    """Every item rented at ``at`` or later that costs something else in each: by its plan, where
    both have that, and by its booked add-ons. Items that have a contract then are left out, as a
    new catalogue leaves them alone; a contract of the two is about the items of its scope.
    """
    plans = [n for n, plan in old.plans.items() if n in new.plans and plan != new.plans[n]]
    addons = [n for n, one in old.addons.items() if n in new.addons and one != new.addons[n]]
    rented, choices = _rented(conn, new.scope or old.scope, at)
    booked_of = {item.item: _booked(choices[item.item], addons, item, at) for *_, item in rented}
    meant = [one for one in rented if one[2].plan in plans or booked_of[one[2].item]]
    scopes = load_scopes(conn, sorted({scope for scope, _, _ in meant}))
    found: list[Touched] = []
    for scope, account, item in meant:
        start, mine = max(at, item.valid.start), item.plan in plans
        planned = {n for c in (old, new) if mine for n in c.plans[item.plan].charges}
        booked = booked_of[item.item]
        now = [r for r in scopes[scope].prices if r.item == item.item and r.valid.holds(start)]
        same = tuple(r for r in now if r.charge not in planned and r.charge not in booked)
        before, after = (_rows(one, item, booked, planned=mine) for one in (old, new))
        if [row.price for row in before] != [row.price for row in after]:
            found.append(Touched(scope, account, item, start, same + before, same + after))
    return found


def _rented(
    conn: Connection, scope: str, at: datetime, follows: Catalog | None = None
) -> tuple[list[tuple[str, str, Item]], Choices]:
    """Scope, account and item, with its plan then, of what is rented at ``at`` or later; and what
    was chosen for it. Of one scope, or of all that have no contract then; one to come is no matter.
    Then is ``at``, when items follow a catalogue that is applied there, or their beginning.
    """
    rows = conn.execute(
        """
        SELECT scope_id, account_id, timezone, item_id, title, plan, lower(valid), upper(valid)
        FROM item i JOIN rating_scope USING (scope_id) JOIN account USING (account_id)
        WHERE (upper_inf(valid) OR upper(valid) > %(at)s)
          AND (%(scope)s = '' OR scope_id = %(scope)s)
        ORDER BY item_id
        """,
        {"scope": scope, "at": at if follows is None else since(follows, at)},
    ).fetchall()
    choices = load_choices(conn, [row[3] for row in rows])
    agreed = agreed_of(conn, {row[0] for row in rows})
    found = []
    for name, account, timezone, i, title, plan, low, high in rows:
        then = max(at if follows is None else follows_at(follows, timezone, at), low)
        item = plan_at(Item(i, title, plan, Span(low, high)), choices[i], then)
        if item.valid.holds(then) and (
            scope or not any(span.holds(then) for span in agreed[name].values())
        ):
            found.append((name, account, item))
    return found, choices


def _booked(
    choices: Iterable[Choice], addons: Iterable[str], item: Item, at: datetime
) -> dict[str, int]:
    """How many of these add-ons the item has then."""
    mine, start = list(choices), max(at, item.valid.start)
    found = {name: chosen(mine, Part.ADDON, start, name) for name in addons}
    return {n: int(one.value) for n, one in found.items() if one and one.value != NONE}


def _rows(
    catalog: Catalog, item: Item, booked: Mapping[str, int], *, planned: bool
) -> tuple[PriceRow, ...]:
    """What the plan, if it is ``planned``, and so many booked add-ons cost by the catalogue."""
    charges = catalog.plans[item.plan].charges if planned else {}
    rows = [PriceRow(item.item, n, item.valid, c, catalog.version) for n, c in charges.items()]
    return (
        *rows,
        *(addon_row(catalog, item, name, n, item.valid) for name, n in sorted(booked.items())),
    )


def _change(
    scope: Scope, touched: Sequence[Touched], now: datetime, agreed: Agreed | None
) -> _Change:
    period = previous(month(now, scope.timezone), scope.timezone)
    before = _priced_by(scope, {one.item.item: _whole(one, one.before) for one in touched})
    after = _priced_by(scope, {one.item.item: _whole(one, one.after) for one in touched})
    if agreed and agreed.scope == scope.scope:
        before = _agreed(before, agreed.before, period)
        after = _agreed(after, agreed.after, period)
    return _Change(period, tuple(sorted(one.item.item for one in touched)), before, after)


def _agreed(scope: Scope, terms: Terms, period: Span) -> Scope:
    """The scope with these terms alone, from the period on: no year of them ends in it."""
    discounts, commitments = terms
    return replace(
        scope,
        discounts=tuple(replace(one, valid=Span(period.start)) for one in discounts),
        commitments=tuple(replace(one, valid=Span(period.start)) for one in commitments),
    )


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
    nets = (line.net for line in price(scope, inputs, end) if line.service.start < end)
    return round_money(exact_sum(nets), scope.currency)
