"""Everything an invoice rests on, read in one snapshot; writes nothing.

Rows that the ledger gains afterwards lie above the stored positions: they are adjustments, by
definition, and no reason to read again.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from invoicing.document import INVOICE, Buyer, Document, DocumentLine, Position, Priced
from invoicing.evidence import evidence
from invoicing.lines import Header, document_lines, draft, local_days, taxed_at
from invoicing.opened import Opened, opened
from invoicing.outside import lost_of
from invoicing.papers import Terms, papers
from invoicing.plan import Group
from invoicing.recompute import Look, looks_of
from invoicing.reconcile import Reconciliation, reconcile
from pipeline.periods import closed
from pipeline.rating.adjustment import carried
from pipeline.rating.price import price
from schemas.billing import Scope, Seller
from schemas.errors import RefusedError
from sinks.database import Connection
from sinks.queries import usage_inputs_bulk
from sinks.scopes import load_scopes
from sinks.tax_profiles import profile_at, require_verified
from sinks.wallet import purse


@dataclass(frozen=True, slots=True)
class Frozen:
    """A draft, the scopes as they were read, and whether everything agrees."""

    draft: Document
    scopes: dict[str, Scope]
    reconciliation: Reconciliation
    opened: tuple[Opened, ...] = ()
    """What was still open of the scopes that it seals."""
    looks: tuple[Look, ...] = ()
    """Sealed periods that it corrects."""


def take(
    conn: Connection, group: Group, seller: Seller, issued_at: datetime, terms: Terms
) -> Frozen:
    """One snapshot of the ledger, from its positions to its reconciliation."""
    with snapshot(conn):
        header = header_of(conn, group, seller, issued_at)
        require_verified(header.profile, group.account)
        lost = lost_of(conn, group.account)  # then it is not known what was corrected
        looks = [] if lost else looks_of(conn, group.account, found_too=terms.found_too)
        return freeze(conn, group, header, papers(conn, looks, header, terms).rides)


@contextmanager
def snapshot(conn: Connection) -> Iterator[None]:
    """A transaction that sees one moment and writes nothing."""
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def header_of(conn: Connection, group: Group, seller: Seller, issued_at: datetime) -> Header:
    """What an invoice of the group says before its first line."""
    if group.currency != seller.currency:
        raise RefusedError(
            f"Account {group.account} pays in {group.currency}, the prices of"
            f" {seller.entity} are in {seller.currency}: rating never converts."
        )
    customer = buyer(conn, group.account)
    profile = profile_at(conn, group.account, taxed_at(group.period))
    return Header(
        INVOICE, issued_at, group.timezone, group.currency, group.period, seller,
        replace(customer, vat_id=profile.vat_id), profile,
    )  # fmt: skip


def freeze(conn: Connection, group: Group, header: Header, rides: Sequence[Look] = ()) -> Frozen:
    """Inputs, prices and evidence of the group, and what it corrects; inside one snapshot."""
    cut = positions(conn)
    scopes = load_scopes(conn, sorted({*group.scopes, *(look.due.scope for look in rides)}))
    mine = [scopes[name] for name in sorted(scopes) if name in group.scopes]
    as_of = closed(group.period)
    wanted = [(scope, group.period) for scope in mine]
    corrected = [one for look in rides for one in look.corrections]
    days = local_days(group.period, group.timezone)
    priced: list[Priced] = []
    rows: list[DocumentLine] = []
    for scope, known in zip(mine, usage_inputs_bulk(conn, wanted, as_of), strict=True):
        inputs = carried(scope, known, corrected)
        lines = price(scope, inputs, as_of)
        rows += document_lines(scope, lines, evidence(conn, scope, lines, days))
        priced.append(Priced(scope, inputs, as_of))
    wallet = purse(conn, group.account, group.currency, header.issued_at)
    document = draft(header, priced, rows, cut, wallet, [look.adjusted for look in rides])
    found = reconcile(conn, document)
    return Frozen(document, scopes, found, opened(conn, wanted), tuple(rides))


def positions(conn: Connection) -> list[Position]:
    """How far each partition is metered, in this snapshot."""
    rows = conn.execute("SELECT topic_id::text, part, next_offset FROM ingest_offset ORDER BY 1, 2")
    return [Position(*row) for row in rows]


def buyer(conn: Connection, account: str) -> Buyer:
    """A copy of the customer's data; later changes do not reach the invoice."""
    row = conn.execute(
        "SELECT account_id, name, address, country, vat_id FROM account WHERE account_id = %s",
        (account,),
    ).fetchone()
    if row is None:
        raise RefusedError(f"There is no account {account}.")
    name, title, address, country, vat_id = row
    return Buyer(name, title, tuple(address), country, vat_id)
