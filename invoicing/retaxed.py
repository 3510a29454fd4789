"""Invoices whose customer was to be taxed otherwise: a profile came after the seal.

Reads only. No close corrects that: rates and treatment of an invoice stay, and a person decides,
with whoever advises on tax, whether it is taken back and written anew.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from invoicing.document import INVOICE
from invoicing.lines import taxed_at
from schemas.billing import Span
from schemas.serial import from_json
from schemas.terms import TaxProfile
from sinks.database import Connection
from sinks.tax_profiles import profiles_at


@dataclass(frozen=True, slots=True)
class Retaxed:
    """An invoice, how it was taxed, and how it would be."""

    account: str
    invoice: str
    period: Span
    was: TaxProfile
    now: TaxProfile

    def __str__(self) -> str:
        return (
            f"{self.invoice} of {self.account} was taxed {said(self.was)}; by what was entered"
            f" since it would be {said(self.now)}: no close corrects that."
        )


def said(profile: TaxProfile) -> str:
    """Mode, rounding, country and VAT id."""
    where = f"{profile.country} {profile.vat_id}".strip()
    return f"{profile.mode.value}, rounded {profile.rounding.value}, {where}"


def retaxed(
    conn: Connection, accounts: Collection[str] | None = None, inside: datetime | None = None
) -> list[Retaxed]:
    """Of all or some accounts, of all months or the one around ``inside``; by number."""
    rows = conn.execute(
        """
        SELECT account_id, number, period_start, period_end, document->'profile'
        FROM invoice
        WHERE kind = %s AND document ? 'profile'
          AND (%s::text[] IS NULL OR account_id = ANY(%s))
          AND (%s::timestamptz IS NULL OR tstzrange(period_start, period_end) @> %s)
        ORDER BY number
        """,
        (
            INVOICE, None if accounts is None else list(accounts), list(accounts or ()), inside,
            inside,
        ),
    ).fetchall()  # fmt: skip
    whose: dict[datetime, set[str]] = defaultdict(set)
    for account, _, start, end, _ in rows:
        whose[taxed_at(Span(start, end))].add(account)
    known = {at: profiles_at(conn, sorted(names), at) for at, names in whose.items()}
    found = [
        Retaxed(
            account, number, Span(start, end), from_json(TaxProfile, body),
            known[taxed_at(Span(start, end))][account],
        )
        for account, number, start, end, body in rows
    ]  # fmt: skip
    return [one for one in found if said(one.was) != said(one.now)]
