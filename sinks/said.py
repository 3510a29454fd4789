"""What was said of an account's budgets, read back from the outbox."""

from datetime import datetime, timedelta
from typing import Final

from pipeline.budgets import Action, Said
from sinks.database import Connection
from sinks.outbox import CLEARED, Alert

PAST: Final = timedelta(days=62)
"""A cap of the month before is lifted when the new one begins, also after an outage of weeks."""


def said_of(conn: Connection, account: str, start: datetime) -> dict[str, tuple[Said, Alert]]:
    """What was last said of each threshold in the account's period from `start` on."""
    rows = conn.execute(
        """
        SELECT DISTINCT ON (threshold) account_id, '', period_start, threshold, limit_version,
               kind, body, sampled_at
        FROM alert_outbox
        WHERE account_id = %(account)s AND scope_id IS NULL AND copy = 0
        AND kind IN ('crossed', 'forecast', %(cleared)s) AND period_start = %(start)s
        ORDER BY threshold, number DESC
        """,
        {"account": account, "start": start, "cleared": CLEARED},
    ).fetchall()
    return {
        a.threshold: (Said.of(crossed=a.kind != CLEARED, limit_version=a.limit_version), a)
        for a in (Alert(*row) for row in rows)
    }


def past_caps(conn: Connection, account: str, start: datetime) -> list[Alert]:
    """Caps of months before that still hold: a new month begins at zero."""
    rows = conn.execute(
        """
        SELECT DISTINCT ON (period_start, threshold) account_id, '', period_start, threshold,
               limit_version, kind, body, sampled_at
        FROM alert_outbox
        WHERE account_id = %s AND scope_id IS NULL AND copy = 0 AND kind IN ('crossed', %s)
        AND threshold LIKE %s AND period_start < %s AND period_start > %s
        ORDER BY period_start, threshold, number DESC
        """,
        (account, CLEARED, f"budget/{Action.CAP}/%/100\\%", start,
         start - PAST),
    ).fetchall()  # fmt: skip
    return [alert for alert in (Alert(*row) for row in rows) if alert.kind != CLEARED]
