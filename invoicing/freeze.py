"""Everything an invoice rests on, read in one snapshot; writes nothing.

Rows that the ledger gains afterwards lie above the stored positions: they are adjustments, by
definition, and no reason to read again.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from invoicing.document import INVOICE, Buyer, Document, DocumentLine, Position, Priced
from invoicing.evidence import evidence
from invoicing.lines import Header, document_lines, draft, local_days, taxed_at
from invoicing.plan import Group
from invoicing.reconcile import Reconciliation, reconcile
from pipeline.periods import closed
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


def take(conn: Connection, group: Group, seller: Seller, issued_at: datetime) -> Frozen:
    """One snapshot of the ledger, from its positions to its reconciliation."""
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        customer = buyer(conn, group.account)
        profile = profile_at(conn, group.account, taxed_at(group.period))
        require_verified(profile, group.account)
        header = Header(
            INVOICE, issued_at, group.timezone, group.currency, group.period, seller,
            replace(customer, vat_id=profile.vat_id), profile,
        )  # fmt: skip
        return freeze(conn, group, header)


def freeze(conn: Connection, group: Group, header: Header) -> Frozen:
    """Inputs, prices and evidence of the group; inside one snapshot."""
    if group.currency != header.seller.currency:
        raise RefusedError(
            f"Account {group.account} pays in {group.currency}, the prices of"
            f" {header.seller.entity} are in {header.seller.currency}: rating never converts."
        )
    cut = positions(conn)
    scopes = dict(sorted(load_scopes(conn, group.scopes).items()))
    as_of = closed(group.period)
    inputs = usage_inputs_bulk(conn, [(scope, group.period) for scope in scopes.values()], as_of)
    days = local_days(group.period, group.timezone)
    priced: list[Priced] = []
    rows: list[DocumentLine] = []
    for scope, known in zip(scopes.values(), inputs, strict=True):
        lines = price(scope, known, as_of)
        rows += document_lines(scope, lines, evidence(conn, scope, lines, days))
        priced.append(Priced(scope, known, as_of))
    wallet = purse(conn, group.account, group.currency, header.issued_at)
    document = draft(header, priced, rows, cut, wallet)
    return Frozen(document, scopes, reconcile(conn, document))


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
