"""Which balance in a customer's favour pays which invoice. Pure.

Over-payments and credit notes pay open invoices of the same currency and legal entity, whether
these are due or not (billing rules, step 14): the oldest credit first, to what is due first.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from pipeline.money import EXACT
from sinks.balances import Open


@dataclass(frozen=True, slots=True)
class Move:
    """``amount`` of the balance of ``source`` pays as much of ``target``."""

    source: str
    target: str
    currency: str
    amount: Decimal


def moves(found: Sequence[Open]) -> Iterator[Move]:
    """All of one account, in order: afterwards each group has credits or debts left, never both."""
    groups: dict[tuple[str, str], list[Open]] = defaultdict(list)
    for one in found:
        groups[one.currency, one.entity].append(one)
    for rows in groups.values():
        credits = sorted((r for r in rows if r.balance < 0), key=lambda r: (r.credited, r.number))
        debts = sorted((r for r in rows if r.balance > 0), key=lambda r: (r.due_at, r.number))
        yield from _group(credits, debts)


def _group(credits: Sequence[Open], debts: Sequence[Open]) -> Iterator[Move]:
    left = [-one.balance for one in credits]
    at = 0
    for debt in debts:
        owed = debt.balance
        while owed and at < len(credits):
            amount = min(owed, left[at])
            yield Move(credits[at].number, debt.number, debt.currency, amount)
            owed = EXACT.subtract(owed, amount)
            left[at] = EXACT.subtract(left[at], amount)
            at += not left[at]
