"""Sealed periods that may have to be corrected: found without pricing, kept until looked at.

What came since a seal is usage (late entries, windows of a server that was silent), a command on
the timelines, or prices. Commands and prices note it themselves; usage is noted by ``sweep``, which
reads each late entry once. A seal notes what came between its snapshot and itself (``note_since``):
either that or a sweep sees every entry, because a sweep waits for seals that are being written. A
period sealed after the next one of its scope makes that due (``note_later``): it was priced as if
nothing had been billed before it.

What an account's other tax treatment comes too early for needs no note: it is what the books say.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any, Final

from invoicing.causes import TREATMENT
from invoicing.document import Document, Position
from pipeline.periods import following
from schemas.billing import Span
from sinks.database import Connection
from sinks.earlier import billed_in_advance
from sinks.positions import TOPIC_BITS
from sinks.queries import WIDTH
from sinks.scopes import load_scopes

FOUND: Final = (files("invoicing") / "queries" / "found.sql").read_text()
SINCE: Final = (files("invoicing") / "queries" / "since.sql").read_text()
TREATED: Final = (files("invoicing") / "queries" / "treated.sql").read_text()
LOCK_KEY: Final = 0x7261_636B_7377_6570  # "rackswep": a sweep alone, seals shared
_WANTED: Final = {"bits": TOPIC_BITS, "width": WIDTH}


@dataclass(frozen=True, slots=True)
class Due:
    """A sealed scope and period for which something came: what (``why``) and the rows that say so;
    no rows where nobody has noted it yet.
    """

    account: str
    currency: str
    timezone: str
    scope: str
    period: Span
    why: tuple[str, ...]
    ids: tuple[int, ...] = ()


def sweep(conn: Connection) -> None:
    """Notes what usage came since the last sweep; one transaction. A crash: the next one does."""
    with conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK_KEY,))
        positions = conn.execute(
            "SELECT topic_id, part, next_offset FROM ingest_offset ORDER BY 1, 2"
        ).fetchall()
        found = conn.execute(FOUND, _WANTED).fetchall()
        with conn.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO adjust_due (scope_id, period_start, why) VALUES (%s, %s, 'usage')",
                found,
            )
            cursor.executemany(
                "INSERT INTO adjust_mark VALUES (%s, %s, %s) ON CONFLICT (topic_id, part)"
                " DO UPDATE SET next_offset = excluded.next_offset",
                positions,
            )


def note_found(conn: Connection, accounts: Sequence[str]) -> None:
    """Notes of these what the next sweep would; inside a transaction that is rolled back."""
    found = conn.execute(FOUND, _WANTED).fetchall()
    conn.execute(
        "INSERT INTO adjust_due (scope_id, period_start, why)"
        " SELECT w.*, 'usage' FROM unnest(%s::text[], %s::timestamptz[]) AS w (scope_id, start)"
        " JOIN rating_scope USING (scope_id) WHERE account_id = ANY(%s)",
        ([scope for scope, _ in found], [start for _, start in found], accounts),
    )


def note_since(conn: Connection, documents: Sequence[Document]) -> None:
    """Notes what came above each document's cut for the scopes that it seals; inside the sealing
    transaction, after the seals.
    """
    seen: dict[tuple[datetime, tuple[Position, ...]], list[str]] = defaultdict(list)
    for document in documents:
        own = [priced.scope.scope for priced in document.priced]
        seen[document.period.start, document.cut] += own
    for (start, cut), scopes in seen.items():
        conn.execute(
            SINCE,
            {
                **_WANTED,
                "scopes": scopes,
                "start": start,
                "cut_topics": [position.topic for position in cut],
                "cut_parts": [position.partition for position in cut],
                "cut_offsets": [position.next_offset for position in cut],
            },
        )


def note_later(conn: Connection, documents: Sequence[Document]) -> None:
    """Notes the first sealed period after each that these seal: fees in advance, a year's minimum
    and what is left of packs rest on what is billed before; inside the sealing transaction.
    """
    rows = [(made.scope.scope, one.period.start) for one in documents for made in one.priced]
    conn.execute(
        """
        INSERT INTO adjust_due (scope_id, period_start, why)
        SELECT scope_id, min(z.period_start), 'timeline'
        FROM unnest(%s::text[], %s::timestamptz[]) AS w (scope_id, sealed)
        JOIN scope_seal z USING (scope_id) WHERE z.period_start > sealed GROUP BY 1
        """,
        ([scope for scope, _ in rows], [start for _, start in rows]),
    )


def hold_sweeps(conn: Connection) -> None:
    """No sweep until the transaction ends: comes first in one that seals."""
    conn.execute("SELECT pg_advisory_xact_lock_shared(%s)", (LOCK_KEY,))


def due(
    conn: Connection, accounts: Collection[str] | None = None, *, found_too: bool = False
) -> list[Due]:
    """What is noted, oldest period first; ``found_too``: also what the next sweep would note."""
    rows: list[tuple[Any, ...]] = conn.execute(
        "SELECT scope_id, period_start, why, due_id FROM adjust_due ORDER BY due_id"
    ).fetchall()
    rows += [(*at, TREATMENT, None) for at in _treated_otherwise(conn, accounts)]
    if found_too:
        rows += [(*row, "usage", None) for row in conn.execute(FOUND, _WANTED).fetchall()]
    why: dict[tuple[str, datetime], dict[str, None]] = defaultdict(dict)
    ids: dict[tuple[str, datetime], list[int]] = defaultdict(list)
    for scope, start, said, number in rows:
        why[scope, start][said] = None
        ids[scope, start] += [] if number is None else [number]
    sealed = seals(conn, list(why), accounts)
    return [
        Due(account, currency, timezone, scope, period, tuple(why[at]), tuple(ids[at]))
        for account, currency, timezone, scope, period in sealed
        for at in ((scope, period.start),)
    ]


def _treated_otherwise(
    conn: Connection, accounts: Collection[str] | None
) -> list[tuple[str, datetime]]:
    """Sealed periods that billed fees in advance under another tax treatment (prices with or
    without tax, whoever owes it, its rounding) than the period that they are for.
    """
    named = {"accounts": None if accounts is None else list(accounts)}
    rows = conn.execute(TREATED, named).fetchall()
    scopes = load_scopes(conn, sorted({scope for scope, _, _ in rows}))
    ahead = [(scopes[s], following(Span(*at), scopes[s].timezone)) for s, *at in rows]
    return [
        (scope, start)
        for (scope, start, _), billed in zip(rows, billed_in_advance(conn, ahead), strict=True)
        if any(one.net for one in billed)
    ]


def seals(
    conn: Connection, wanted: Sequence[tuple[str, datetime]], accounts: Collection[str] | None
) -> list[tuple[str, str, str, str, Span]]:
    """(account, currency, time zone, scope, period) of these seals, oldest first."""
    rows = conn.execute(
        """
        SELECT s.account_id, a.currency, a.timezone, z.scope_id, z.period_start, z.period_end
        FROM unnest(%s::text[], %s::timestamptz[]) AS w (scope_id, period_start)
        JOIN scope_seal z USING (scope_id, period_start)
        JOIN rating_scope s USING (scope_id)
        JOIN account a USING (account_id)
        WHERE %s::text[] IS NULL OR s.account_id = ANY(%s)
        ORDER BY z.period_start, s.account_id, z.scope_id
        """,
        (
            [scope for scope, _ in wanted],
            [start for _, start in wanted],
            None if accounts is None else list(accounts),
            list(accounts or ()),
        ),
    ).fetchall()
    return [(*row[:4], Span(*row[4:])) for row in rows]


def settle_due(conn: Connection, ids: Sequence[int]) -> None:
    """These were looked at; what was noted since stays."""
    conn.execute("DELETE FROM adjust_due WHERE due_id = ANY(%s)", (list(ids),))
