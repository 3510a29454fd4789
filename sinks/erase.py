"""Forgetting a customer: what the law does not make us keep goes, what it does stays.

Goes: name, address and VAT id in the account, webhook and mail addresses, alerts with their
recipients, what payment methods are called, and what was said of the person in the audit trail,
whose chain holds keyed digests and stays whole. Stays: invoices as they were issued with their tax
profiles, journal, usage, prices, timelines. Backups and exports that were made before still have
what goes here, and a payment provider has what it knows.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from schemas.errors import RefusedError
from sinks.audit import Act, record
from sinks.audit_chain import ERASED
from sinks.database import Connection

NAME: Final = "erased"
"""What stands in the place of a customer's name; invoices keep the one they were issued to."""


@dataclass(frozen=True, slots=True)
class Erased:
    """How much of each is gone; all zeros when it was so already."""

    account: int
    alerts: int
    acts: int


def erase(conn: Connection, account: str, why: str, now: datetime) -> Erased:
    """Erases in one transaction, and says so in the audit trail.

    Refused while the account rents anything, what it rented is not invoiced to its end, or money is
    owed either way.
    """
    with conn.transaction():
        found = conn.execute(
            "SELECT FROM account WHERE account_id = %s FOR UPDATE", (account,)
        ).fetchone()
        if found is None:
            raise RefusedError(f"There is no account {account}.")
        _refuse_open(conn, account, now)
        _refuse_owed(conn, account)
        changed = conn.execute(
            """
            UPDATE account SET name = %(name)s, address = '{}', vat_id = '', mail_to = '{}',
                               webhook_url = NULL, webhook_secret = NULL, webhook_disabled_at = NULL
            WHERE account_id = %(account)s AND (name <> %(name)s OR address <> '{}' OR vat_id <> ''
                OR mail_to <> '{}' OR webhook_url IS NOT NULL)
            """,
            {"account": account, "name": NAME},
        ).rowcount
        alerts = conn.execute("DELETE FROM alert_outbox WHERE account_id = %s", (account,)).rowcount
        conn.execute("UPDATE payment_method SET label = '' WHERE account_id = %s", (account,))
        conn.execute("SELECT set_config('rackmeter.erasing', %s, true)", (account,))
        acts = conn.execute(
            "DELETE FROM audit_said WHERE account_id = %s AND personal", (account,)
        ).rowcount
        conn.execute("SELECT set_config('rackmeter.erasing', '', true)")
        done = Erased(changed, alerts, acts)
        if any((changed, alerts, acts)):
            said = {"account": changed, "alerts": alerts, "acts": acts}
            record(conn, Act(ERASED, f"account/{account}", account, now, why, after=said))
    return done


def _refuse_open(conn: Connection, account: str, now: datetime) -> None:
    row = conn.execute(
        """
        SELECT i.item_id, upper_inf(i.valid) OR upper(i.valid) > %(now)s
        FROM item i JOIN rating_scope s USING (scope_id)
        WHERE s.account_id = %(account)s
          AND (upper_inf(i.valid) OR upper(i.valid) > %(now)s OR NOT EXISTS (
            SELECT FROM scope_seal x
            WHERE x.scope_id = i.scope_id AND x.period_end >= upper(i.valid)))
        ORDER BY 1 LIMIT 1
        """,
        {"account": account, "now": now},
    ).fetchone()
    if row is not None:
        why = "is rented" if row[1] else "is not invoiced to its end"
        raise RefusedError(
            f"{account} cannot be erased: item {row[0]} {why}; end it and close its last period."
        )


def _refuse_owed(conn: Connection, account: str) -> None:
    row = conn.execute(
        """
        SELECT ledger, currency, abs(sum(amount)) FROM journal_posting
        JOIN journal_entry USING (entry_id)
        WHERE account_id = %s AND ledger IN ('receivable', 'wallet')
        GROUP BY 1, 2 HAVING sum(amount) <> 0 ORDER BY 1, 2 LIMIT 1
        """,
        (account,),
    ).fetchone()
    if row is not None:
        what = "is owed to" if row[0] == "wallet" else "is open with"
        raise RefusedError(f"{account} cannot be erased: {row[2]} {row[1]} {what} this customer.")
