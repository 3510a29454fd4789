"""Since when accounts are billed here: by what was said, else by what was closed first.

Somebody who begins with rackmeter, or with one more of his customers, has billed what came before
in some other way, whatever their rentals say.

said of the account        from that month on, and no close bills anything before it
else                       from the first month on that was closed for everybody, with anything to
                           bill in it, or for this account: what was rented before is billed where
                           somebody closes that month, and not by itself
"""

from collections.abc import Collection
from datetime import date, datetime

from schemas.errors import RefusedError
from sinks.audit import Act, record
from sinks.database import Connection


def say_billed_from(conn: Connection, account: str, first: date | None) -> bool:
    """It is billed from the month of this first day on; None: nothing is said. True when that
    changes anything.
    """
    with conn.transaction():
        row = conn.execute(
            "SELECT billed_from FROM account WHERE account_id = %s FOR UPDATE", (account,)
        ).fetchone()
        if row is None:
            raise RefusedError(f"There is no account {account}.")
        if row[0] == first:
            return False
        conn.execute("UPDATE account SET billed_from = %s WHERE account_id = %s", (first, account))
        before, after = ({"billed from": day and day.isoformat()} for day in (row[0], first))
        record(conn, Act("account.billed", f"account/{account}", account, before=before,
                         after=after))  # fmt: skip
        return True


def billed_from(
    conn: Connection, accounts: Collection[str] | None
) -> dict[str, tuple[datetime, bool]]:
    """By account, an instant inside its first month in every time zone, and whether that was said
    of it; for the others nothing was closed yet.
    """
    rows = conn.execute(
        """
        SELECT account_id, (coalesce(billed_from, least(first, own) AT TIME ZONE 'UTC')
                            + interval '15 days') AT TIME ZONE 'UTC', billed_from IS NOT NULL
        FROM account
        LEFT JOIN (SELECT account_id, min(period_start) AS own
                   FROM scope_seal JOIN rating_scope USING (scope_id) GROUP BY 1) o
        USING (account_id)
        CROSS JOIN (SELECT min(since) AS first FROM close_run WHERE accounts IS NULL) f
        WHERE %s::text[] IS NULL OR account_id = ANY(%s)
        """,
        (None if accounts is None else list(accounts), list(accounts or ())),
    ).fetchall()
    return {account: (inside, said) for account, inside, said in rows if inside is not None}
