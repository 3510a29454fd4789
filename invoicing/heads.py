"""What invoices say before their first line, and which corrections ride on them, of many groups of
one period. Reads only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TypeVar

import psycopg

from invoicing.document import INVOICE, Buyer
from invoicing.lines import Header, taxed_at
from invoicing.outside import lost_of
from invoicing.papers import Papers, Terms, papers
from invoicing.plan import Group
from invoicing.recompute import Look, looks_of
from schemas.billing import Lot, Seller
from schemas.errors import RefusedError
from sinks.database import Connection
from sinks.tax_profiles import profiles_at, require_verified


@dataclass(frozen=True, slots=True)
class Headed:
    """A group that may be invoiced."""

    group: Group
    header: Header
    corrected: Papers
    handed: dict[str, tuple[Lot, ...]]
    """What its period finds of packs and rollovers, by scope; of others what the ledger says."""

    @property
    def rides(self) -> tuple[Look, ...]:
        """Sealed periods that its invoice corrects."""
        return self.corrected.rides

    @property
    def looks(self) -> tuple[Look, ...]:
        """Those, and what is kept with them."""
        return *self.corrected.rides, *self.corrected.along

    @property
    def numbers(self) -> list[str]:
        """The invoices that billed those."""
        return [look.adjusted.invoice for look in self.rides]


def headers_of(
    conn: Connection, groups: Sequence[Group], seller: Seller, issued_at: datetime
) -> Callable[[Group], Header]:
    """What an invoice of a group says before its first line; of groups of one period."""
    accounts = [group.account for group in groups]
    customers = buyers(conn, accounts)
    profiles = profiles_at(conn, accounts, taxed_at(groups[0].period))

    def header(group: Group) -> Header:
        if group.currency != seller.currency:
            raise RefusedError(
                f"Account {group.account} pays in {group.currency}, the prices of"
                f" {seller.entity} are in {seller.currency}: rating never converts."
            )
        customer, profile = customers[group.account], profiles[group.account]
        return Header(
            INVOICE, issued_at, group.timezone, group.currency, group.period, seller,
            replace(customer, vat_id=profile.vat_id), profile,
        )  # fmt: skip

    return header


Made = TypeVar("Made")


def attempted(act: Callable[[], Made]) -> Made | Exception:
    """What it makes, or why it cannot; what the database says is of all and raised."""
    try:
        return act()
    except psycopg.Error:
        raise
    except Exception as error:
        return error


def heads(
    conn: Connection, groups: Sequence[Group], seller: Seller, issued_at: datetime, terms: Terms
) -> list[Headed | Exception]:
    """Of each group its header and what it corrects, or why it cannot be invoiced."""
    header = headers_of(conn, groups, seller, issued_at)
    accounts = [group.account for group in groups]
    lost = lost_of(conn, accounts)  # then it is not known what was corrected
    looks = looks_of(conn, [a for a in accounts if a not in lost], found_too=terms.found_too)

    def head(group: Group) -> Headed:
        own = header(group)
        require_verified(own.profile, group.account)
        mine = [look for look in looks if look.due.account == group.account]
        handed = {
            look.due.scope: look.handed  # the newest: looks come oldest first
            for look in mine
            if look.handed is not None and look.due.period.start < group.period.start
        }
        return Headed(group, own, papers(conn, mine, own, terms) if mine else Papers(), handed)

    return [attempted(partial(head, group)) for group in groups]


def buyers(conn: Connection, accounts: Sequence[str]) -> dict[str, Buyer]:
    """Copies of customers' data; later changes do not reach the invoice."""
    rows = conn.execute(
        "SELECT account_id, name, address, country, vat_id FROM account WHERE account_id = ANY(%s)",
        (list(accounts),),
    )
    return {row[0]: Buyer(row[0], row[1], tuple(row[2]), *row[3:]) for row in rows}
