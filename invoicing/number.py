"""Gapless invoice numbers, one sequence for each (entity, kind, year of issue).

The row stays locked until the transaction ends: whoever takes a number and fails gives it back, and
nobody else can have taken the next one meanwhile. Take it last.
"""

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from schemas.billing import Seller
from sinks.database import Connection

MARKS: Final = {"invoice": ""}
"""What stands between entity and year; each kind counts for itself."""


def year_of(seller: Seller, issued_at: datetime) -> int:
    """The year of issue where the seller is."""
    return issued_at.astimezone(ZoneInfo(seller.timezone)).year


def take_number(conn: Connection, seller: Seller, kind: str, issued_at: datetime) -> str:
    """The next number, ``RM-2026-000001``; belongs inside the finalising transaction."""
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
    return number_text(seller.entity, kind, year, int(row[0]))


def number_text(entity: str, kind: str, year: int, count: int) -> str:
    """The whole entity is the prefix, so that no two entities ever share a number."""
    return f"{entity.upper()}{MARKS[kind]}-{year}-{count:06d}"
