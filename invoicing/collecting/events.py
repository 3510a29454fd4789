"""What a gateway tells us: kept once, then the object it is about is asked for and recorded.

1. Check the signature over the bytes as they came. A forgery changes nothing.
2. Commit the event's row, by its id. One that was handled before ends here.
3. Ask the gateway for the object; what the event says of it may be older than another one.
4. Record it, and then that the event is handled, a transaction each. A crash before either: the
   gateway sends it again, and `payment collect` finds it waiting; what is recorded stays so.
"""

import hashlib
from datetime import datetime
from typing import cast

from invoicing.collecting.attempt import Till
from invoicing.collecting.record import (
    record_dispute,
    record_payment,
    record_payout,
    record_refund,
)
from invoicing.gateways.protocol import About, Event, GatewayRefusedError, Teller
from sinks.payment_events import Told, handled, receive
from sinks.payment_methods import account_of, keep_methods
from sinks.payments import find_attempt

NOT_OURS = "of nothing that is ours"
AGAIN = "told before"


def take_event(till: Till, body: bytes, signature: str) -> str:
    """What came of it. Raises ForgedEventError, and the gateway's errors."""
    event = cast(Teller, till.gateway).event(body, signature)
    digest, at = hashlib.sha256(body).hexdigest(), till.clock()
    told = Told(till.gateway.name, event.event, event.kind, _object(event), digest, at, None, "")
    kept = receive(till.conn, told)
    return AGAIN if kept.handled_at is not None else handle(till, kept)


def _object(event: Event) -> str:
    return f"{event.about}/{event.reference}"


def handle(till: Till, told: Told) -> str:
    """What came of an event that was received. Raises the gateway's errors, and RefusedError or
    DifferenceError where it cannot be booked: then it still waits.
    """
    about, _, reference = told.object.partition("/")
    try:
        outcome = _look(till, About(about), reference, till.clock())
    except GatewayRefusedError as error:
        outcome = f"the gateway does not show it: {error}"
    with till.conn.transaction():
        handled(till.conn, told, outcome or NOT_OURS, till.clock())
    return outcome or NOT_OURS


def _look(till: Till, about: About, reference: str, at: datetime) -> str:
    """Steps 3 and 4; empty where the object is none of ours."""
    conn, gateway = till.conn, cast(Teller, till.gateway)
    match about:
        case About.PAYMENT:
            payment = till.ask(lambda: gateway.payment(reference))
            attempt = find_attempt(conn, gateway.name, reference, payment.attempt)
            return (
                "" if attempt is None else record_payment(conn, gateway, attempt, payment, at).state
            )
        case About.REFUND:
            row = record_refund(conn, gateway, till.ask(lambda: gateway.refund_of(reference)), at)
            return "" if row is None else row.state
        case About.DISPUTE:
            dispute = till.ask(lambda: gateway.dispute(reference))
            return record_dispute(conn, gateway, dispute, at)
        case About.PAYOUT:
            payout = till.ask(lambda: gateway.payout(reference))
            return record_payout(conn, gateway, payout, at)
        case About.METHOD:
            return refresh_methods(till, reference)
        case About.NOTHING:
            return ""


def refresh_methods(till: Till, customer: str) -> str:
    """What a customer has saved there now."""
    account = account_of(till.conn, till.gateway.name, customer)
    if account is None:
        return ""
    found = till.ask(lambda: till.gateway.methods(customer))
    rows = [(one.token, one.kind, one.label) for one in found]
    keep_methods(till.conn, account, till.gateway.name, rows, till.clock())
    return f"methods saved: {len(rows)}"
