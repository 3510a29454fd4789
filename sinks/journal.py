"""The books: entries whose postings sum to zero, added to only, once per (kind, reference).

Debit is positive: what customers owe us, money in a bank or with a provider, costs. Credit is
negative: revenue, tax, what we owe a customer. The database sees to the sums (0010_money.sql), so
no writer can leave the books crooked. Which entries an invoice makes says ``invoicing.booking``;
money in and out, ``sinks.receipts``.

Ledgers: receivable · revenue and deferred (with the month of service) · tax · wallet · promotion ·
clearing:stripe and one for each other provider · bank · fees · bad_debt.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from schemas.errors import DifferenceError
from sinks.database import Connection


class Kind(StrEnum):
    """What happened. How an invoice stands (view ``invoice_status``) goes by it."""

    INVOICE = "invoice"
    CREDIT_NOTE = "credit-note"
    RECOGNITION = "recognition"
    """Fees in advance become revenue when their month closes."""
    GRANT = "grant"
    DRAW = "draw"
    EXPIRY = "expiry"
    PAYMENT = "payment"
    REFUND = "refund"
    CHARGE_BACK = "charge-back"
    """Taken back by the customer's bank; one that we win is an entry with the opposite sign."""
    WRITE_OFF = "write-off"
    CARRY = "carry"
    """A rest that no gateway can move goes on to the account, to be paid with another invoice."""
    APPLY = "apply"
    """What was open in a customer's favour on one invoice pays another."""
    FEE = "fee"
    PAYOUT = "payout"


@dataclass(frozen=True, slots=True)
class Posting:
    """One side of an entry; debit positive."""

    ledger: str
    amount: Decimal
    month: date | None = None
    """First day of the month of service, of revenue and deferred."""
    invoice: str = ""
    """Number of the invoice whose receivable this is; "" is the account's own."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event in the books of an account ("" is no customer's, such as a pay-out)."""

    kind: str
    reference: str
    """What makes it the same event when it is told again, within its kind."""
    at: datetime
    account: str
    currency: str
    postings: tuple[Posting, ...]


@dataclass(frozen=True, slots=True)
class Balance:
    """What a ledger comes to; debit positive."""

    currency: str
    ledger: str
    amount: Decimal


def hold_account(conn: Connection, account: str) -> None:
    """Until the transaction ends nobody else asks for, moves or gives back what the account has.

    Taken after the locks of rows, never before them.
    """
    conn.execute("SELECT pg_advisory_xact_lock(hashtext('carry'), hashtext(%s))", (account,))


def numbered(conn: Connection, kind: Kind, invoice: str) -> int:
    """1, 2, … of the next entry of a kind that moves an invoice's receivable. By the invoice's
    postings: those of a kind are many.
    """
    row = conn.execute(
        """
        SELECT 1 + count(DISTINCT entry_id) FROM journal_posting p
        WHERE invoice = %s AND invoice <> ''
        AND (SELECT kind FROM journal_entry e WHERE e.entry_id = p.entry_id) = %s
        """,
        (invoice, kind),
    ).fetchone()
    assert row is not None, "an aggregate has a row"
    return int(row[0])


def post(conn: Connection, entry: Entry) -> bool:
    """Enters it in the caller's transaction; False when it is there already with the same content.

    Who tells the same event later is not contradicted: the first time stands. Raises
    DifferenceError where account, currency or postings are others than those entered.
    """
    return bool(post_all(conn, [entry]))


def post_all(conn: Connection, wanted: Iterable[Entry]) -> int:
    """The same for many in one statement; how many were not there."""
    whole = [(one, tuple(side for side in one.postings if side.amount)) for one in wanted]
    found = [(entry, sides) for entry, sides in whole if sides]
    if not found:
        return 0
    rows = [(at, side) for at, (_, sides) in enumerate(found) for side in sides]
    added = conn.execute(
        _POST,
        {
            "kind": [entry.kind for entry, _ in found],
            "reference": [entry.reference for entry, _ in found],
            "at": [entry.at for entry, _ in found],
            "account": [entry.account for entry, _ in found],
            "currency": [entry.currency for entry, _ in found],
            "of": [at + 1 for at, _ in rows],
            "ledger": [side.ledger for _, side in rows],
            "amount": [side.amount for _, side in rows],
            "month": [side.month for _, side in rows],
            "invoice": [side.invoice for _, side in rows],
        },
    ).fetchall()
    there = set(added)
    for entry, sides in found:
        if (entry.kind, entry.reference) not in there:
            _require_same(conn, entry, sides)
    return len(added)


_POST: Final = """
    WITH given AS (
        SELECT * FROM unnest(%(kind)s::text[], %(reference)s::text[], %(at)s::timestamptz[],
                             %(account)s::text[], %(currency)s::text[])
             WITH ORDINALITY AS g (kind, reference, at, account_id, currency, no)
    ), entry AS (
        INSERT INTO journal_entry (kind, reference, at, account_id, currency)
        SELECT kind, reference, at, nullif(account_id, ''), currency FROM given ORDER BY no
        ON CONFLICT (kind, reference) DO NOTHING RETURNING entry_id, kind, reference
    ), posted AS (
        INSERT INTO journal_posting (entry_id, position, ledger, amount, month, invoice)
        SELECT entry_id, row_number() OVER (PARTITION BY no ORDER BY place),
               ledger, amount, month, invoice
        FROM unnest(%(of)s::bigint[], %(ledger)s::text[], %(amount)s::numeric[], %(month)s::date[],
                    %(invoice)s::text[])
             WITH ORDINALITY AS p (no, ledger, amount, month, invoice, place)
        JOIN given USING (no) JOIN entry USING (kind, reference)
    )
    SELECT kind, reference FROM entry
"""


def _require_same(conn: Connection, entry: Entry, postings: tuple[Posting, ...]) -> None:
    (stored,) = entries(conn, kind=entry.kind, reference=entry.reference)
    given = (entry.account, entry.currency, postings)
    if (stored.account, stored.currency, stored.postings) != given:
        raise DifferenceError(
            f"The journal has {entry.kind} {entry.reference} with other content: it says"
            f" {_said(stored.postings)}, not {_said(postings)}."
        )


def _said(postings: tuple[Posting, ...]) -> str:
    return ", ".join(f"{one.ledger} {one.amount}" for one in postings)


def entries(
    conn: Connection,
    *,
    kind: str | None = None,
    reference: str | None = None,
    account: str | None = None,
    invoice: str | None = None,
) -> list[Entry]:
    """Whole entries, oldest first; of an invoice those that move its receivable."""
    rows = conn.execute(
        """
        SELECT e.kind, e.reference, e.at, coalesce(e.account_id, ''), e.currency,
               array_agg(p.ledger ORDER BY p.position), array_agg(p.amount ORDER BY p.position),
               array_agg(p.month ORDER BY p.position), array_agg(p.invoice ORDER BY p.position)
        FROM journal_entry e JOIN journal_posting p USING (entry_id)
        WHERE (%(kind)s::text IS NULL OR e.kind = %(kind)s)
          AND (%(reference)s::text IS NULL OR e.reference = %(reference)s)
          AND (%(account)s::text IS NULL OR e.account_id = %(account)s)
          AND (%(invoice)s::text IS NULL OR entry_id IN (
              SELECT entry_id FROM journal_posting WHERE invoice <> '' AND invoice = %(invoice)s))
        GROUP BY entry_id ORDER BY entry_id
        """,
        {"kind": kind, "reference": reference, "account": account, "invoice": invoice},
    )
    return [
        Entry(
            kind, reference, at, account, currency,
            tuple(Posting(*one) for one in zip(*sides, strict=True)),
        )
        for kind, reference, at, account, currency, *sides in rows
    ]  # fmt: skip


def balance(conn: Connection, account: str) -> list[Balance]:
    """What each ledger comes to of one account."""
    return _balances(conn, account)


def trial_balance(conn: Connection) -> list[Balance]:
    """What each ledger comes to of all accounts: each currency sums to zero."""
    return _balances(conn, None)


def _balances(conn: Connection, account: str | None) -> list[Balance]:
    rows = conn.execute(
        """
        SELECT e.currency, p.ledger, sum(p.amount)
        FROM journal_entry e JOIN journal_posting p USING (entry_id)
        WHERE %(account)s::text IS NULL OR e.account_id = %(account)s
        GROUP BY 1, 2 ORDER BY 1, 2
        """,
        {"account": account},
    )
    return [Balance(*row) for row in rows]
