"""What Stripe is to show for an attempt, read from the sealed document in the ledger."""

import math
from datetime import timedelta

from invoicing.export import load
from invoicing.gateways.protocol import GatewayRefusedError, Intent
from invoicing.gateways.stripe_sheet import Sheet, sheet
from sinks.database import Connection


def sheet_of(conn: Connection, intent: Intent) -> Sheet:
    """Raises DifferenceError where the document is not what was sealed."""
    row = conn.execute(
        "SELECT invoice_id::text FROM invoice WHERE number = %s", (intent.invoice,)
    ).fetchone()
    if row is None:
        raise GatewayRefusedError(f"There is no invoice {intent.invoice}")
    document, proof = load(conn, row[0])
    left = document.due_at - intent.intended_at
    return sheet(document, proof, intent.amount, max(0, math.ceil(left / timedelta(days=1))))
