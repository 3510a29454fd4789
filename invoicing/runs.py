"""What was closed, for whom, when, and how it ended: rows of ``close_run``, none of a dry run.

A run is entered before its first invoice: one that was killed is there without an end.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime

from psycopg.types.json import Jsonb

from invoicing.plan import Group, first_asked
from invoicing.report import Outcome
from sinks.database import Connection


def begin(
    conn: Connection,
    groups: Iterable[Group],
    month_of: str | None,
    as_of: datetime | None,
    accounts: Collection[str] | None,
    began_at: datetime,
) -> int:
    """Enters a run for these groups; its number."""
    since = first_asked(groups, month_of, as_of)
    row = conn.execute(
        "INSERT INTO close_run (month, as_of, accounts, began_at, since)"
        " VALUES (%s, %s, %s, %s, %s) RETURNING run_id",
        (month_of, as_of, None if accounts is None else sorted(accounts), began_at, since),
    ).fetchone()
    assert row is not None  # an insert returns its row
    return int(row[0])


def end(conn: Connection, run_id: int, outcomes: Iterable[Outcome]) -> None:
    """The run has ended with these, now."""
    counts = Counter(one.status.value for one in outcomes)
    conn.execute(
        "UPDATE close_run SET ended_at = clock_timestamp(), outcomes = %s WHERE run_id = %s",
        (Jsonb(counts), run_id),
    )
