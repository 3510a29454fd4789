"""What customers were given or have paid ahead, and what invoices drew of it.

A credit is never changed: draws are added, and the database refuses more than there is
(0010_money.sql). A correction that lowers an invoice gives back what that had drawn of promotional
credit: a draw below zero, on the same credit with its expiry. Paid credit is in the books from its
grant; promotional credit enters them with the invoice that it makes cheaper. Which credit is drawn
first says ``pipeline.rating.credit``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from pipeline.money import round_money
from pipeline.periods import zone
from pipeline.rating.credit import Draw
from schemas.errors import ConfigError, DifferenceError, RefusedError
from schemas.terms import Credit, CreditKind
from sinks.audit import Act, record
from sinks.database import Connection
from sinks.journal import Entry, Kind, Posting, post

EXPIRY: Final = "expiry"
WALLET: Final = "wallet"


@dataclass(frozen=True, slots=True)
class Grant:
    """A credit as a person enters it; ``credit`` names it and makes entering it again the same."""

    account: str
    credit: str
    kind: CreditKind
    amount: Decimal
    granted_at: datetime
    expires_at: datetime | None = None
    priority: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """A credit with what became of it."""

    grant: Grant
    currency: str
    left: Decimal
    draws: tuple[tuple[str, Decimal, datetime], ...]
    """Number of the document or ``expiry``, amount, when; below zero it was given back."""


def hold(conn: Connection, accounts: Sequence[str]) -> None:
    """Until the transaction ends nobody else draws from what these accounts have."""
    conn.execute(
        """
        SELECT 1 FROM wallet_credit WHERE account_id = ANY(%s) AND drawn < amount
        ORDER BY credit_id FOR NO KEY UPDATE
        """,
        (list(accounts),),
    )


def purses(
    conn: Connection, accounts: Sequence[str], currency: str, at: datetime
) -> dict[str, tuple[Credit, ...]]:
    """What an invoice of each account may draw at an instant, and promotional credit of which
    nothing is left: a correction may give some back.
    """
    rows = conn.execute(
        """
        SELECT account_id, credit_id, kind, amount - drawn, granted_at, expires_at, priority
        FROM wallet_credit
        WHERE account_id = ANY(%s) AND currency = %s
          AND (drawn < amount OR kind = 'promotional')
          AND granted_at <= %s AND (expires_at IS NULL OR expires_at > %s)
        ORDER BY credit_id COLLATE "C"
        """,
        (list(accounts), currency, at, at),
    )
    found: dict[str, tuple[Credit, ...]] = dict.fromkeys(accounts, ())
    for account, credit, kind, *rest in rows:
        found[account] += (Credit(credit, CreditKind(kind), *rest),)
    return found


def grant(conn: Connection, wanted: Grant, by: str, entered_at: datetime, ledger: str) -> bool:
    """Enters a credit; of a paid one ``ledger`` is where the money lies. False when it is there.

    Raises DifferenceError where another credit has its name, ConfigError for a wrong amount.
    """
    with conn.transaction():
        currency, _ = _account(conn, wanted.account)
        if wanted.amount <= 0 or round_money(wanted.amount, currency) != wanted.amount:
            raise ConfigError(f"{wanted.amount} {currency} is no amount of money above nothing.")
        if wanted.expires_at is not None and wanted.expires_at <= wanted.granted_at:
            raise ConfigError(f"Credit {wanted.credit} would expire before it is granted.")
        row = conn.execute(
            """
            INSERT INTO wallet_credit (credit_id, account_id, kind, currency, amount, priority,
                                       granted_at, expires_at, reason, entered_by, entered_at)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (credit_id) DO NOTHING RETURNING 1
            """,
            (
                wanted.credit, wanted.account, wanted.kind.value, currency, wanted.amount,
                wanted.priority, wanted.granted_at, wanted.expires_at, wanted.reason, by,
                entered_at,
            ),
        ).fetchone()  # fmt: skip
        if row is None:
            _require_same(conn, wanted)
            return False
        if wanted.kind is CreditKind.PAID:
            sides = Posting(ledger, wanted.amount), Posting(WALLET, -wanted.amount)
            at, account = wanted.granted_at, wanted.account
            post(conn, Entry(Kind.GRANT, wanted.credit, at, account, currency, sides))
        said = {"kind": wanted.kind.value, "amount": wanted.amount, "currency": currency}
        _record(conn, "wallet.grant", wanted, by, entered_at, said)
    return True


def _require_same(conn: Connection, wanted: Grant) -> None:
    """Entered again it must be the same; when it was granted, the first time stands."""
    (held,) = history(conn, credit=wanted.credit)
    known = held.grant
    same = (known.account, known.kind, known.amount, known.expires_at, known.priority)
    if same != (wanted.account, wanted.kind, wanted.amount, wanted.expires_at, wanted.priority):
        raise DifferenceError(
            f"Credit {wanted.credit} exists with other content: {known.kind.value}"
            f" {known.amount} {held.currency} of {known.account}."
        )


def draw(conn: Connection, reference: str, draws: Iterable[Draw], at: datetime) -> None:
    """Takes off what a document uses, or gives back; in its own transaction, a credit once."""
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO wallet_draw (credit_id, reference, amount, drawn_at)"
            " VALUES (%s, %s, %s, %s)",
            [(one.credit, reference, one.amount, at) for one in draws],
        )


def expire(conn: Connection, at: datetime, by: str, account: str | None = None) -> list[Held]:
    """What is left of credits that have expired is gone; of paid ones it becomes revenue."""
    with conn.transaction():
        names = conn.execute(
            """
            SELECT credit_id FROM wallet_credit
            WHERE expires_at <= %(at)s AND drawn < amount
              AND (%(account)s::text IS NULL OR account_id = %(account)s)
            ORDER BY credit_id FOR NO KEY UPDATE
            """,
            {"at": at, "account": account},
        ).fetchall()
        found = [held for (name,) in names for held in history(conn, credit=name)]
        for held in found:
            _expire(conn, held, at, by)
    return found


def _expire(conn: Connection, held: Held, at: datetime, by: str) -> None:
    credit, end = held.grant, held.grant.expires_at
    assert end is not None
    before = sum(reference.startswith(EXPIRY) for reference, _, _ in held.draws)
    again = f" {before + 1}" if before else ""  # given back by a correction after it had expired
    draw(conn, f"{EXPIRY}{again}", [Draw(credit.credit, held.left)], at)
    if credit.kind is CreditKind.PAID:
        _, timezone = _account(conn, credit.account)
        month = end.astimezone(zone(timezone)).date().replace(day=1)
        sides = Posting(WALLET, held.left), Posting("revenue", -held.left, month)
        post(conn, Entry(Kind.EXPIRY, credit.credit, at, credit.account, held.currency, sides))
    _record(conn, "wallet.expire", credit, by, at, {"left": held.left, "currency": held.currency})


def _record(
    conn: Connection, action: str, credit: Grant, by: str, at: datetime, said: Mapping[str, object]
) -> None:
    record(
        conn,
        Act(
            action, f"wallet/{credit.credit}", credit.account, at, reason=credit.reason, actor=by,
            after=said,
        ),
    )  # fmt: skip


def history(
    conn: Connection, *, account: str | None = None, credit: str | None = None
) -> list[Held]:
    """Credits with their draws, oldest first."""
    rows = conn.execute(
        """
        SELECT c.account_id, c.credit_id, c.kind, c.amount, c.granted_at, c.expires_at, c.priority,
               c.reason, c.currency, c.amount - c.drawn,
               coalesce(array_agg(d.reference ORDER BY d.drawn_at, d.reference)
                        FILTER (WHERE d.reference IS NOT NULL), '{}'),
               array_agg(d.amount ORDER BY d.drawn_at, d.reference),
               array_agg(d.drawn_at ORDER BY d.drawn_at, d.reference)
        FROM wallet_credit c LEFT JOIN wallet_draw d USING (credit_id)
        WHERE (%(account)s::text IS NULL OR c.account_id = %(account)s)
          AND (%(credit)s::text IS NULL OR c.credit_id = %(credit)s)
        GROUP BY c.credit_id ORDER BY c.account_id, c.granted_at, c.credit_id
        """,
        {"account": account, "credit": credit},
    )
    return [
        Held(
            Grant(of, name, CreditKind(kind), *terms),
            currency,
            left,
            tuple(zip(references, amounts, times, strict=False)),
        )
        for of, name, kind, *terms, currency, left, references, amounts, times in rows
    ]


def _account(conn: Connection, account: str) -> tuple[str, str]:
    row = conn.execute(
        "SELECT currency, timezone FROM account WHERE account_id = %s", (account,)
    ).fetchone()
    if row is None:
        raise RefusedError(f"There is no account {account}: see `rackmeter account list`.")
    return row[0], row[1]
