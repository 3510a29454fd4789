"""Gapless invoice numbers, one sequence for each (entity, kind, year of issue).

The row stays locked until the transaction ends: whoever takes a number and fails gives it back, and
nobody else can have taken the next one meanwhile. Take it last.
"""

from collections.abc import Sequence
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


def take_numbers(
    conn: Connection, seller: Seller, kind: str, issued_at: datetime, invoice_ids: Sequence[str]
) -> list[Number]:
    """Of each invoice the next number, in their order, or the one that is kept for this very
    invoice; belongs inside the finalising transaction.
    """
    conn.execute("SELECT pg_advisory_xact_lock_shared(%s)", (LOCK_KEY,))
    rows = conn.execute(
        "SELECT DISTINCT ON (invoice_id) invoice_id::text, year, count FROM number_outside o"
        " WHERE invoice_id = ANY(%s::uuid[]) AND NOT certain"
        " AND NOT EXISTS (SELECT FROM invoice i WHERE i.number = o.number)"
        " ORDER BY invoice_id, year, count",
        (list(invoice_ids),),
    )
    kept = {one: (year, count) for one, year, count in rows}
    new = iter(_next(conn, seller.entity, kind, year_of(seller, issued_at),
                     len(invoice_ids) - len(kept)))  # fmt: skip
    return [
        Number(seller.entity, kind, *(kept[one] if one in kept else next(new)))
        for one in invoice_ids
    ]


def _next(conn: Connection, entity: str, kind: str, year: int, many: int) -> list[tuple[int, int]]:
    if not many:
        return []
    row = conn.execute(
        """
        INSERT INTO invoice_number AS n (entity, kind, year, next)
        VALUES (%(entity)s, %(kind)s, %(year)s, %(many)s + 1)
        ON CONFLICT (entity, kind, year) DO UPDATE SET next = n.next + %(many)s
        RETURNING next - %(many)s
        """,
        {"entity": entity, "kind": kind, "year": year, "many": many},
    ).fetchone()
    assert row is not None  # an upsert returns its row
    return [(year, row[0] + more) for more in range(many)]
