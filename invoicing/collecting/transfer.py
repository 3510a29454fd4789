"""A transfer that a person found on the bank's statement: entered, then booked at once."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from invoicing.collecting.attempt import Till
from invoicing.collecting.plan import require_step
from sinks.audit import Act, record
from sinks.bank_transfers import arrived
from sinks.payments import Attempt, attempt_of


def transfer_arrived(till: Till, reference: str, amount: Decimal, at: datetime) -> Attempt:
    """The attempt as it is then. Raises RefusedError where nothing is expected under that, and for
    an amount that is finer than the currency.
    """
    with till.conn.transaction():
        found = arrived(till.conn, reference, amount, at)
        require_step(amount, till.gateway.step(found.currency), found.currency)
        attempt = attempt_of(till.conn, found.attempt)
        said = {"amount": amount, "currency": found.currency, "reference": reference}
        subject = f"invoice/{attempt.invoice}"
        record(till.conn, Act("payment.received", subject, found.account, at, after=said))
    return replace(till, clock=lambda: at).keep(attempt, till.gateway.payment(reference))
