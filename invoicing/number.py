"""Gapless invoice numbers, one sequence for each (entity, kind, year of issue).

The row stays locked until the transaction ends: whoever takes a number and fails gives it back, and
nobody else can have taken the next one meanwhile. Take it last.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from schemas.billing import Seller
from sinks.database import Connection

MARKS: Final = {"invoice": "", "credit-note": "C"}
"""What the count begins with; each kind counts for itself."""
LOCK_KEY: Final = 0x7261_636B_6E75_6D62  # "racknumb": shared by whoever takes a number


@dataclass(frozen=True, slots=True)
class Number:
    """The ``count``-th of its entity, kind and year."""

    entity: str
    kind: str
    year: int
    count: int

    def __str__(self) -> str:
        """``RM-2026-000001``: the whole entity is the prefix, so that no two ever share one."""
        return f"{self.entity.upper()}-{self.year}-{MARKS[self.kind]}{self.count:06d}"


def year_of(seller: Seller, issued_at: datetime) -> int:
    """The year of issue where the seller is."""
    return issued_at.astimezone(ZoneInfo(seller.timezone)).year


def number_of(entity: str, kind: str, text: str) -> Number:
    """The number that is written so."""
    year, count = text.rsplit("-", 2)[1:]
    return Number(entity, kind, int(year), int(count.removeprefix(MARKS[kind])))


def take_number(
    conn: Connection, seller: Seller, kind: str, issued_at: datetime, invoice_id: str
) -> Number:
    """The next number, or the one that is kept for this very invoice; belongs inside the finalising
    transaction.
    """
    conn.execute("SELECT pg_advisory_xact_lock_shared(%s)", (LOCK_KEY,))
    kept = conn.execute(
        "SELECT year, count FROM number_outside o WHERE invoice_id = %s AND NOT certain"
        " AND NOT EXISTS (SELECT FROM invoice i WHERE i.number = o.number)"
        " ORDER BY year, count LIMIT 1",
        (invoice_id,),
    ).fetchone()
    if kept is not None:
        return Number(seller.entity, kind, *kept)
    year = year_of(seller, issued_at)
    row = conn.execute(
        """
        INSERT INTO invoice_number AS n (entity, kind, year, next) VALUES (%s, %s, %s, 2)
        ON CONFLICT (entity, kind, year) DO UPDATE SET next = n.next + 1
        RETURNING next - 1
        """,
        (seller.entity, kind, year),
    ).fetchone()
    assert row is not None  # an upsert returns its row
    return Number(seller.entity, kind, year, int(row[0]))
