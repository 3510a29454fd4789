"""Everything an invoice rests on, read in one snapshot; writes nothing.

Rows that the ledger gains afterwards lie above the stored positions: they are adjustments, by
definition, and no reason to read again.
"""

from dataclasses import dataclass

from invoicing.document import Buyer, Document, DocumentLine, Position, Priced
from invoicing.evidence import evidence
from invoicing.lines import Header, document_lines, draft, local_days
from invoicing.plan import Group
from invoicing.reconcile import Reconciliation, reconcile
from pipeline.periods import closed
from pipeline.rating.price import price
from schemas.billing import Scope
from schemas.errors import RefusedError
from sinks.database import Connection
from sinks.queries import usage_inputs_bulk
from sinks.scopes import load_scopes


@dataclass(frozen=True, slots=True)
class Frozen:
    """A draft, the scopes as they were read, and whether everything agrees."""

    draft: Document
    scopes: dict[str, Scope]
    reconciliation: Reconciliation


def snapshot(conn: Connection) -> None:
    """First statement of a transaction that must see one state of the ledger."""
    conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def freeze(conn: Connection, group: Group, header: Header) -> Frozen:
    """Inputs, prices and evidence of the group; inside a ``snapshot``."""
    cut = positions(conn)
    scopes = dict(sorted(load_scopes(conn, group.scopes).items()))
    as_of = closed(group.period)
    inputs = usage_inputs_bulk(conn, [(scope, group.period) for scope in scopes.values()], as_of)
    days = local_days(group.period, group.timezone)
    priced: list[Priced] = []
    rows: list[DocumentLine] = []
    for scope, known in zip(scopes.values(), inputs, strict=True):
        lines = price(scope, known, as_of)
        rows += document_lines(scope, lines, evidence(conn, scope, lines, days), header.seller)
        priced.append(Priced(scope, known, as_of))
    document = draft(header, priced, rows, cut)
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
