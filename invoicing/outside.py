"""Numbers that were given out and that this database does not have: it was restored from an older
state. They are never given out again.

Whether a number that was only `taken` was issued, the database knows: as long as it is the one that
the number was taken in, what it does not have was rolled back and the number goes to whoever is
next. Only a database that is older than its number log cannot tell; then the number is kept for the
same invoice.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from invoicing.number import LOCK_KEY, number_of
from invoicing.number_log import Entry, Logged, NumberLog
from sinks.database import Connection

_COLUMNS: Final = (
    "number, entity, kind, year, count, invoice_id::text, digest, account_id, period_start, scopes"
)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What the log lacks, and what the database lacks: surely issued, or perhaps."""

    unlogged: tuple[str, ...] = ()
    lost: tuple[Entry, ...] = ()
    doubtful: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Outside:
    """A number outside the database. ``entered``: its invoice has been entered again since."""

    entry: Entry
    certain: bool
    entered: bool


def settle(
    logged: Mapping[str, Logged],
    issued: Iterable[str],
    outside: Mapping[str, bool],
    *,
    recovered: bool,
) -> Settlement:
    """Compares the log with the numbers that the database has, and those it knows that it lacks
    (number → certain). ``recovered``: somebody says that it is older than the log. Pure.
    """
    there = set(issued)
    unlogged = sorted(n for n in there if n not in logged or not logged[n].issued)
    missing = [one for number, one in sorted(logged.items()) if number not in there]
    lost = [one.entry for one in missing if one.issued and not outside.get(one.entry.number)]
    older = recovered or bool(lost)
    doubtful = [
        one.entry for one in missing if older and not one.issued and one.entry.number not in outside
    ]
    return Settlement(tuple(unlogged), tuple(lost), tuple(doubtful))


def number_log(conn: Connection, path: Path) -> NumberLog:
    """The log of this ledger."""
    row = conn.execute("SELECT ledger_id FROM ledger_identity").fetchone()
    assert row is not None  # the migration enters it
    return NumberLog(path, row[0])


def settle_numbers(conn: Connection, log: NumberLog, *, recovered: bool = False) -> Settlement:
    """Brings log and database together; begins with no transaction open and leaves none.

    1. Read the log, then the database: what the log calls issued was committed before.
    2. Where numbers are missing, wait for those who are taking some, and look again. A crash:
       nothing.
    3. Enter what is missing and raise the counters above it. A crash: nothing, or all of it.
    4. Write into the log what it lacks: closed by another machine, or a crash after the commit. A
       crash: the next time does it.
    """
    logged = log.numbers()
    with conn.transaction():
        found = settle(logged, _issued(conn), _known(conn), recovered=recovered)
        if found.lost or found.doubtful:
            conn.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK_KEY,))
            found = settle(log.numbers(), _issued(conn), _known(conn), recovered=recovered)
            _enter(conn, found.lost, certain=True)
            _enter(conn, found.doubtful, certain=False)
    if found.unlogged:
        log.issue(*_entries(conn, found.unlogged))
    return found


def lost_numbers(
    conn: Connection, scopes: Iterable[str], period_start: datetime
) -> dict[str, list[str]]:
    """Scope → numbers of invoices for it and this period that were issued, and are not here."""
    rows = conn.execute(
        "SELECT unnest(scopes), number FROM number_outside o"
        " WHERE certain AND period_start = %s AND scopes && %s"
        " AND NOT EXISTS (SELECT FROM invoice i WHERE i.number = o.number) ORDER BY number",
        (period_start, list(scopes)),
    )
    return _by_first(rows)


def lost_of(conn: Connection, accounts: Iterable[str]) -> dict[str, list[str]]:
    """Account → numbers of its documents that were issued, and are not here: what they corrected
    is not known, so nothing may be corrected before they are entered again.
    """
    rows = conn.execute(
        "SELECT account_id, number FROM number_outside o WHERE certain AND account_id = ANY(%s)"
        " AND NOT EXISTS (SELECT FROM invoice i WHERE i.number = o.number) ORDER BY number",
        (list(accounts),),
    )
    return _by_first(rows)


def _by_first(rows: Iterable[tuple[Any, ...]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for first, number in rows:
        found[first].append(number)
    return dict(found)


def outside(conn: Connection) -> list[Outside]:
    """All of them, by number."""
    rows = conn.execute(
        f"SELECT {_COLUMNS}, certain,"  # noqa: S608 - a constant
        " EXISTS (SELECT FROM invoice i WHERE i.number = o.number)"
        " FROM number_outside o ORDER BY number"
    ).fetchall()
    return [
        Outside(Entry(*(*row[:9], tuple(row[9]))), certain=row[10], entered=row[11]) for row in rows
    ]


def _issued(conn: Connection) -> list[str]:
    return [number for (number,) in conn.execute("SELECT number FROM invoice")]


def _known(conn: Connection) -> dict[str, bool]:
    return dict(conn.execute("SELECT number, certain FROM number_outside").fetchall())


def _entries(conn: Connection, numbers: Iterable[str]) -> list[Entry]:
    """What the log holds of invoices that the database has."""
    rows = conn.execute(
        """
        SELECT i.number, i.entity, i.kind, i.invoice_id::text, i.digest, i.account_id,
               i.period_start, coalesce(
                   (SELECT array_agg(scope_id ORDER BY scope_id) FROM scope_seal s
                    WHERE s.invoice_id = i.invoice_id),
                   (SELECT array_agg(DISTINCT scope_id ORDER BY scope_id) FROM adjustment a
                    WHERE a.invoice_id = i.invoice_id), '{}')
        FROM invoice i WHERE i.number = ANY(%s) ORDER BY i.number
        """,
        (list(numbers),),
    ).fetchall()
    return [_entry(*row) for row in rows]


def _entry(
    text: str,
    entity: str,
    kind: str,
    invoice_id: str,
    proof: str,
    account: str,
    period_start: datetime,
    scopes: list[str],
) -> Entry:
    number = number_of(entity, kind, text)
    return Entry(
        text, entity, kind, number.year, number.count, invoice_id, proof, account, period_start,
        tuple(scopes),
    )  # fmt: skip


def _enter(conn: Connection, entries: Iterable[Entry], *, certain: bool) -> None:
    for entry in entries:
        conn.execute(
            """
            INSERT INTO number_outside (number, entity, kind, year, count, invoice_id, digest,
                                        account_id, period_start, scopes, certain)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (number) DO UPDATE SET certain = excluded.certain
            """,
            (
                entry.number, entry.entity, entry.kind, entry.year, entry.count, entry.invoice_id,
                entry.digest, entry.account, entry.period_start, list(entry.scopes), certain,
            ),
        )  # fmt: skip
        conn.execute(
            """
            INSERT INTO invoice_number AS n (entity, kind, year, next) VALUES (%s, %s, %s, %s)
            ON CONFLICT (entity, kind, year) DO UPDATE SET next = greatest(n.next, excluded.next)
            """,
            (entry.entity, entry.kind, entry.year, entry.count + 1),
        )
