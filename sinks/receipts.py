"""Money that a person enters: transfers into our bank, and losses. What is owed, by age."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from pipeline.money import round_money
from schemas.errors import ConfigError, RefusedError
from sinks.audit import Act, record
from sinks.database import Connection
from sinks.journal import Entry, Kind, Posting, hold_account, numbered, post

RECEIVABLE: Final = "receivable"
BANK: Final = "bank"


@dataclass(frozen=True, slots=True)
class Standing:
    """How an invoice stands."""

    number: str
    account: str
    currency: str
    status: str
    balance: Decimal
    """Above zero it is owed to us, below zero to the customer."""


def standing(conn: Connection, number: str) -> Standing:
    """Of one invoice; raises RefusedError where there is none."""
    row = conn.execute(
        """
        SELECT number, account_id, currency, status, balance FROM invoice_status WHERE number = %s
        """,
        (number,),
    ).fetchone()
    if row is None:
        raise RefusedError(f"There is no invoice {number}: see `rackmeter invoice list`.")
    return Standing(*row)


def receive(
    conn: Connection, reference: str, at: datetime, amount: Decimal, of: Standing, by: str
) -> bool:
    """A transfer for an invoice; False when the same is in the books. More than is owed is taken
    too: it is the customer's, and pays his next invoice.
    """
    _require_money(amount, of.currency)
    sides = Posting(BANK, amount), Posting(RECEIVABLE, -amount, invoice=of.number)
    entry = Entry(Kind.PAYMENT, reference, at, of.account, of.currency, sides)
    with conn.transaction():
        hold_account(conn, of.account)
        new = _enter(conn, "journal.receive", entry, of, by)
        recover(conn, [of.number], at)
    return new


def write_off(conn: Connection, at: datetime, amount: Decimal, number: str, by: str) -> None:
    """What nobody will pay any more of an invoice is a loss. Raises RefusedError for more than is
    open when it is entered.
    """
    _require_money(amount, standing(conn, number).currency)
    with conn.transaction():
        hold_account(conn, standing(conn, number).account)
        of = standing(conn, number)
        if not 0 < amount <= of.balance:
            raise RefusedError(
                f"{number} is {of.status} with {of.balance} {of.currency} open: {amount} cannot be"
                " written off."
            )
        reference = f"{number}/{numbered(conn, Kind.WRITE_OFF, number)}"
        sides = Posting("bad_debt", amount), Posting(RECEIVABLE, -amount, invoice=number)
        entry = Entry(Kind.WRITE_OFF, reference, at, of.account, of.currency, sides)
        _enter(conn, "journal.write-off", entry, of, by)


def recover(conn: Connection, invoices: Sequence[str], at: datetime) -> int:
    """What was written off and is covered after all, by money or a credit note, is no loss: the
    loss is taken back before anything is the customer's. In the caller's transaction; how many.
    """
    rows = conn.execute(
        """
        SELECT number, account_id, currency, least(written_off, -balance) FROM invoice_status
        WHERE number = ANY (%s) AND balance < 0 AND written_off > 0 ORDER BY number
        """,
        (list(invoices),),
    ).fetchall()
    for number, account, currency, amount in rows:
        reference = f"{number}/{numbered(conn, Kind.WRITE_OFF, number)}"
        sides = Posting(RECEIVABLE, amount, invoice=number), Posting("bad_debt", -amount)
        post(conn, Entry(Kind.WRITE_OFF, reference, at, account, currency, sides))
        said = {"amount": -amount, "currency": currency, "reference": reference}
        record(conn, Act("journal.write-off", f"invoice/{number}", account, at, after=said))
    return len(rows)


def _enter(conn: Connection, action: str, entry: Entry, of: Standing, by: str) -> bool:
    new = post(conn, entry)
    if new:
        said = {"amount": entry.postings[0].amount, "currency": of.currency,
                "reference": entry.reference}  # fmt: skip
        subject = f"invoice/{of.number}"
        record(conn, Act(action, subject, of.account, entry.at, actor=by, after=said))
    return new


def _require_money(amount: Decimal, currency: str) -> None:
    if amount <= 0 or round_money(amount, currency) != amount:
        raise ConfigError(f"{amount} {currency} is no amount of money above nothing.")


@dataclass(frozen=True, slots=True)
class Aged:
    """What an account owes in a currency, by days since it was due; below zero it is owed to it."""

    account: str
    currency: str
    not_due: Decimal
    days_30: Decimal
    """Due for up to 30 days."""
    days_60: Decimal
    days_90: Decimal
    older: Decimal
    unassigned: Decimal
    """Of no invoice: paid ahead, or rests that no gateway could move."""
    total: Decimal


def aged(conn: Connection, at: datetime, account: str | None = None) -> list[Aged]:
    """Receivables by account; the totals are those of the ledger ``receivable``."""
    rows = conn.execute(
        """
        SELECT account_id, currency,
               coalesce(sum(balance) FILTER (WHERE due_at >= %(at)s), 0),
               coalesce(sum(balance) FILTER (WHERE late > 0 AND late <= 30), 0),
               coalesce(sum(balance) FILTER (WHERE late > 30 AND late <= 60), 0),
               coalesce(sum(balance) FILTER (WHERE late > 60 AND late <= 90), 0),
               coalesce(sum(balance) FILTER (WHERE late > 90), 0),
               coalesce(sum(balance) FILTER (WHERE due_at IS NULL), 0), sum(balance)
        FROM (
            SELECT account_id, currency, due_at, balance,
                   extract(epoch FROM %(at)s - due_at) / 86400 AS late
            FROM invoice_status WHERE balance <> 0
            UNION ALL
            SELECT e.account_id, e.currency, NULL, sum(p.amount), NULL
            FROM journal_posting p JOIN journal_entry e USING (entry_id)
            WHERE p.ledger = 'receivable' AND p.invoice = '' GROUP BY 1, 2
        ) r
        WHERE %(account)s::text IS NULL OR account_id = %(account)s
        GROUP BY 1, 2 HAVING bool_or(balance <> 0) ORDER BY 1, 2
        """,
        {"at": at, "account": account},
    )
    return [Aged(*row) for row in rows]
