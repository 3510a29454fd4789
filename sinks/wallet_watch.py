"""Prepaid balances: what paid credit is left, less what is not invoiced yet, against a threshold.

What is not invoiced yet are the figures of live accruals, net of tax: as current as they are, of
percentiles what is certain. A crossing is told once, whoever looks; one that is taken back is told
as well.
"""

from datetime import datetime
from decimal import Decimal

from schemas.errors import RefusedError
from schemas.events import WALLET_LOW, WALLET_RESTORED
from schemas.serial import decimal_text, instant_text
from sinks.audit import Act, record
from sinks.database import Connection
from sinks.outbox import Alert, enqueue_all

_BALANCE = """
    SELECT coalesce((SELECT sum(c.amount - c.drawn) FROM wallet_credit c
                     WHERE c.account_id = a.account_id AND c.currency = a.currency
                       AND c.kind = 'paid' AND c.granted_at <= %(now)s
                       AND (c.expires_at IS NULL OR c.expires_at > %(now)s)), 0)
         - coalesce((SELECT sum(coalesce(f.certain_net, f.net))
                     FROM rating_scope s JOIN accrual r USING (scope_id)
                     CROSS JOIN LATERAL jsonb_to_recordset(r.figures)
                         AS f (net numeric, certain_net numeric)
                     WHERE s.account_id = a.account_id AND NOT EXISTS (
                         SELECT FROM scope_seal z
                         WHERE (z.scope_id, z.period_start) = (r.scope_id, r.period_start))), 0)
"""


def prepaid(conn: Connection, account: str, now: datetime) -> Decimal:
    """What is left of what an account paid ahead, as of an instant."""
    row = conn.execute(
        f"SELECT ({_BALANCE}) FROM account a WHERE account_id = %(account)s",  # noqa: S608
        {"account": account, "now": now},
    ).fetchone()
    if row is None:
        raise RefusedError(f"There is no account {account}: see `rackmeter account list`.")
    return Decimal(row[0])


def set_threshold(
    conn: Connection, account: str, below: Decimal | None, by: str, now: datetime
) -> None:
    """From now on the account is told below that; None: no more. Setting it re-arms."""
    with conn.transaction():
        before = conn.execute(
            "DELETE FROM wallet_threshold WHERE account_id = %s RETURNING below", (account,)
        ).fetchone()
        prepaid(conn, account, now)  # refuses an account that is not there
        if below is not None:
            conn.execute(
                """
                INSERT INTO wallet_threshold (account_id, below, set_at, set_by)
                VALUES (%s, %s, %s, %s)
                """,
                (account, below, now, by),
            )
        was = {"below": before[0]} if before else None
        subject, after = f"account/{account}", {"below": below}
        record(conn, Act("wallet.alert", subject, account, now, actor=by, before=was, after=after))


def look(conn: Connection, now: datetime) -> tuple[Alert, ...]:
    """What was said now for the first time, of all accounts with a threshold.

    Whose row another holds is his: he says it.
    """
    with conn.transaction():
        rows = conn.execute(
            f"""
            WITH held AS (
                SELECT t.* FROM wallet_threshold t ORDER BY account_id
                FOR NO KEY UPDATE SKIP LOCKED
            ), now AS (
                SELECT h.*, a.currency, b.balance
                FROM held h JOIN account a USING (account_id)
                CROSS JOIN LATERAL ({_BALANCE}) AS b (balance)
            )
            UPDATE wallet_threshold t SET low = n.balance < n.below, crossings = t.crossings + 1
            FROM now n WHERE n.account_id = t.account_id AND t.low <> (n.balance < n.below)
            RETURNING t.account_id, n.currency, n.balance, t.below, t.set_at, t.low, t.crossings
            """,  # noqa: S608
            {"now": now},
        ).fetchall()
        alerts = [_alert(now, *row) for row in sorted(rows)]
        new = enqueue_all(conn, alerts, now)
    return tuple(alert for alert in alerts if alert.alert_id in new)


def _alert(
    now: datetime, account: str, currency: str, balance: Decimal, below: Decimal, set_at: datetime,
    low: bool, crossings: int,
) -> Alert:  # fmt: skip
    kind = WALLET_LOW if low else WALLET_RESTORED
    side = "below" if low else "not below"
    data = {
        "account": account,
        "amount": decimal_text(balance),
        "currency": currency,
        "below": decimal_text(below),
        "at": instant_text(now),
        "text": f"Of what {account} paid ahead {balance} {currency} is left, {side} {below}.",
    }
    body = {"type": kind, "timestamp": instant_text(now), "data": data}
    version = f"{instant_text(set_at)}/{crossings}"
    return Alert(account, "", set_at, f"{account}/wallet", version, kind, body, now)
