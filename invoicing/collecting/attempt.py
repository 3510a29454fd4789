"""Takes one attempt as far as it goes now: ask, open, confirm, and cancel what was declined.

The caller holds the invoice's lock and has committed the attempt's row. Every answer is committed
before the next call, so that whoever comes after a crash asks the gateway where it stands.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

from invoicing.collecting.plan import ABANDONED, CHANGED, FAILED
from invoicing.collecting.record import record_canceled, record_payment
from invoicing.gateways.protocol import (
    Gateway,
    GatewayBusyError,
    GatewayRefusedError,
    GatewayUnknownError,
    Intent,
    Payment,
    State,
)
from sinks.database import Connection
from sinks.payments import Attempt, attempt_of
from sinks.payments_due import due_of

T = TypeVar("T")

BUSY_TRIES: Final = 5
BUSY_SECONDS_MAX: Final = 16.0
"""1, 2, 4, 8 s and a part of each at random; then this run ends, and the next one goes on."""

APPLIED: Final = "collect:applied"
INTENDED: Final = "collect:intended"
OPENED: Final = "collect:opened"
KEPT: Final = "collect:kept"
CONFIRMED: Final = "collect:confirmed"
BOOKED: Final = "collect:booked"
CANCELED: Final = "collect:canceled"
STEPS: Final = (APPLIED, INTENDED, OPENED, KEPT, CONFIRMED, BOOKED, CANCELED)
"""Told before and after each call and each commit; a test kills there."""


@dataclass(frozen=True, slots=True)
class Till:
    """What every attempt of one run shares."""

    conn: Connection
    gateway: Gateway
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    step: Callable[[str], None]
    tries: int = BUSY_TRIES

    def ask(self, call: Callable[[], T]) -> T:
        """A call, again while they are busy. Raises GatewayBusyError when that does not end."""
        for tried in range(self.tries):
            try:
                return call()
            except GatewayBusyError:
                if tried + 1 == self.tries:
                    raise
                seconds = min(2.0**tried, BUSY_SECONDS_MAX)
                self.sleep(seconds * (1 + random.random() / 2))
        raise AssertionError

    def keep(self, attempt: Attempt, payment: Payment) -> Attempt:
        return record_payment(self.conn, self.gateway, attempt, payment, self.clock())


def till_of(conn: Connection, gateway: Gateway) -> Till:
    """For one command: by the real clock."""
    return Till(conn, gateway, lambda: datetime.now(UTC), time.sleep, lambda _step: None)


def intent_of(attempt: Attempt) -> Intent:
    """The attempt as a gateway is told of it."""
    return Intent(
        str(attempt.attempt), attempt.invoice, attempt.account, attempt.customer, attempt.token,
        attempt.amount, attempt.currency, attempt.intended_at,
    )  # fmt: skip


def advance(till: Till, attempt: Attempt, *, fresh: bool = False) -> Attempt:
    """The attempt as it is then. ``fresh``: its row was made a moment ago, nothing was called.

    Raises GatewayUnknownError where nothing is known; the row says what was intended, and the next
    run asks.
    """
    intent = intent_of(attempt)
    found = None if fresh else till.ask(lambda: _look(till.gateway, attempt, intent))
    if found is None:
        opened = _open(till, attempt, intent)
        if isinstance(opened, Attempt):
            return opened
        found = opened
    till.step(OPENED)
    attempt = till.keep(attempt, found)
    till.step(KEPT)
    if found.state is State.OPEN:
        attempt = _confirm(till, attempt, intent, found)
    if attempt.state == State.DECLINED:
        attempt = cancel(till, attempt, attempt.reason)
    elif attempt.state == State.ACTION:
        attempt = _patience(till, attempt)
    return attempt


def _look(gateway: Gateway, attempt: Attempt, intent: Intent) -> Payment | None:
    if attempt.reference is not None:
        return gateway.payment(attempt.reference)
    return gateway.find(intent)


def _open(till: Till, attempt: Attempt, intent: Intent) -> Payment | Attempt:
    """A key that replays a failure never gets another answer: such an attempt is over, once the
    look-up says that it has made nothing. Until then it is asked with the same key.
    """
    try:
        return till.ask(lambda: till.gateway.open(intent))
    except GatewayUnknownError as error:
        found = till.ask(lambda: till.gateway.find(intent))
        if found is not None:
            return found
        if not error.replayed:
            raise
        return record_canceled(till.conn, attempt.attempt, FAILED, till.clock())
    except GatewayRefusedError as error:
        said = str(error)
        return record_canceled(till.conn, attempt.attempt, said, till.clock(), final=True)


def _confirm(till: Till, attempt: Attempt, intent: Intent, found: Payment) -> Attempt:
    """What is charged is what is open now; else the attempt is over before it was charged. So it
    is where they refuse, as a method that was taken away meanwhile.
    """
    if not _still_asked(till, attempt):
        return cancel(till, attempt, CHANGED)
    try:
        payment = till.ask(lambda: till.gateway.confirm(intent, found.reference))
    except GatewayUnknownError:
        payment = till.ask(lambda: till.gateway.payment(found.reference))
    except GatewayRefusedError as error:
        return cancel(till, attempt, str(error), final=error.final)
    till.step(CONFIRMED)
    attempt = till.keep(attempt, payment)
    till.step(BOOKED)
    return attempt


def _patience(till: Till, attempt: Attempt) -> Attempt:
    """The customer has so long; and nothing to do any more when the invoice is paid otherwise."""
    if not _still_asked(till, attempt):
        return cancel(till, attempt, CHANGED)
    patience = till.gateway.patience
    if patience is not None and till.clock() > attempt.intended_at + patience:
        return cancel(till, attempt, ABANDONED)
    return attempt


def _still_asked(till: Till, attempt: Attempt) -> bool:
    """The invoice owes what it owed then. What is carried to it was fixed when it was asked for."""
    due = due_of(till.conn, attempt.invoice)
    return due is not None and due.asked == attempt.owed


def cancel(till: Till, attempt: Attempt, reason: str, *, final: bool = False) -> Attempt:
    """So that it cannot be paid beside the next attempt; paid all the same where that was first."""
    reference = attempt.reference
    assert reference is not None, "it was opened"
    found = till.ask(lambda: till.gateway.cancel(reference))
    till.step(CANCELED)
    if found.state is State.CANCELED:
        record_canceled(till.conn, attempt.attempt, reason, till.clock(), final=final)
    else:
        till.keep(attempt, found)
    return attempt_of(till.conn, attempt.attempt)
