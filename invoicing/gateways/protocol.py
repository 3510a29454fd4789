"""What every gateway can do, in words of the field; who collects knows nothing else of them.

A payment takes two calls. `open` makes it and moves no money; `confirm` charges it. What is
confirmed is one named object that can be paid once, so a confirmation whose answer was lost is
never a second charge: the object is asked. `open` carries the attempt's id as idempotency key and
as metadata. Amounts are in major units.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from schemas.errors import DependencyError, RefusedError


class GatewayBusyError(DependencyError):
    """Too many requests: nothing was done, try again later."""


class GatewayUnknownError(DependencyError):
    """No answer, or a failure of theirs: it may have been done. Only a look-up can tell."""

    def __init__(self, why: str, *, replayed: bool = False) -> None:
        super().__init__(why)
        self.replayed = replayed
        """The same key got the same failure as before: this key will never get another answer."""


class GatewayRefusedError(RefusedError):
    """They understood and said no: nothing was done, and asking again does not help."""

    def __init__(self, why: str, *, final: bool = False) -> None:
        super().__init__(why)
        self.final = final
        """A person has to look first: the same method is not tried again."""


class ForgedEventError(Exception):
    """An event's signature is missing, wrong or too old; or its body is none."""


class State(StrEnum):
    """What became of a payment. ``PAID`` and ``CANCELED`` are its ends."""

    OPEN = "open"
    """Made; nothing was charged."""
    PROCESSING = "processing"
    """Under way, as a direct debit for days."""
    ACTION = "action"
    """The customer has to do something: pass 3-D Secure, or transfer the money."""
    DECLINED = "declined"
    PAID = "paid"
    CANCELED = "canceled"


class RefundState(StrEnum):
    """What became of a refund."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


class DisputeState(StrEnum):
    """What became of a charge-back. ``INQUIRY`` has taken no money."""

    INQUIRY = "inquiry"
    TAKEN = "taken"
    WON = "won"


class About(StrEnum):
    """What kind of object an event is about."""

    PAYMENT = "payment"
    REFUND = "refund"
    DISPUTE = "dispute"
    PAYOUT = "payout"
    METHOD = "method"
    NOTHING = ""


@dataclass(frozen=True, slots=True)
class Payer:
    """Whom a gateway knows an account as."""

    account: str
    name: str
    mail: str = ""


@dataclass(frozen=True, slots=True)
class Method:
    """A saved way to pay: its token and what its owner knows it by, never its number."""

    token: str
    kind: str
    label: str


@dataclass(frozen=True, slots=True)
class Intent:
    """One attempt to have one invoice paid, as it was committed before any call."""

    attempt: str
    invoice: str
    """Its number, which the customer sees on statements."""
    account: str
    customer: str
    token: str
    amount: Decimal
    currency: str
    intended_at: datetime


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as the gateway has it now."""

    reference: str
    attempt: str
    """From its metadata; empty: it is none of ours."""
    state: State
    currency: str
    received: Decimal = Decimal(0)
    fee: Decimal | None = None
    """None: not known yet, or taken in another currency."""
    reason: str = ""
    final: bool = False
    """Declined for good: the method is not to be tried again."""
    link: str = ""
    """Where the customer goes on."""


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """Money to be sent back, as it was committed before the call."""

    refund: str
    payment: str
    """Reference of the payment."""
    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund as the gateway has it now; ``refund`` is empty where their own tools made it."""

    reference: str
    refund: str
    payment: str
    amount: Decimal
    state: RefundState


@dataclass(frozen=True, slots=True)
class Dispute:
    """A charge-back. ``fee`` is kept by the gateway also when it is won."""

    reference: str
    payment: str
    amount: Decimal
    fee: Decimal
    currency: str
    state: DisputeState


@dataclass(frozen=True, slots=True)
class Payout:
    """Money on its way from the gateway to our bank; ``arrived`` is False when it came back."""

    reference: str
    amount: Decimal
    currency: str
    arrived: bool | None


@dataclass(frozen=True, slots=True)
class Event:
    """A signed word of a gateway that something has changed: what, never how it stands."""

    event: str
    kind: str
    about: About
    reference: str


class Gateway(Protocol):
    """Raises the errors above and none of its client's. Every call ends within its time-out."""

    @property
    def name(self) -> str:
        """As it is kept in the ledger."""

    @property
    def clearing(self) -> str:
        """The journal's ledger for money that it has taken and not yet paid out."""

    @property
    def patience(self) -> timedelta | None:
        """How long a customer may take for what he has to do; None: until it is paid."""

    @property
    def early(self) -> bool:
        """Whether the customer is asked when the invoice is issued, since he pays by himself."""

    def step(self, currency: str) -> Decimal:
        """The smallest amount by which payments differ."""

    def least(self, currency: str) -> Decimal:
        """Less than this cannot be paid."""

    def customer(self, payer: Payer) -> str:
        """Its name for the account, made when needed."""

    def method_link(self, customer: str, currency: str) -> str:
        """A page of theirs where a customer saves a way to pay; empty: nothing has to be saved."""

    def methods(self, customer: str) -> tuple[Method, ...]:
        """What is saved now, the newest first."""

    def open(self, intent: Intent) -> Payment:
        """Makes the payment, or finds what this attempt made before; moves no money."""

    def confirm(self, intent: Intent, reference: str) -> Payment:
        """Charges it, the customer being elsewhere. A decline is an answer, not an error."""

    def find(self, intent: Intent) -> Payment | None:
        """What this attempt has made, by its metadata: as of now, not as some index knew it."""

    def payment(self, reference: str) -> Payment:
        """As it is now."""

    def cancel(self, reference: str) -> Payment:
        """As it is then: canceled, or paid where that was quicker."""

    def refund(self, order: RefundOrder) -> Refund:
        """Sends money back, once an order."""

    def find_refund(self, order: RefundOrder) -> Refund | None:
        """What this order has made, by its metadata."""


class Teller(Gateway, Protocol):
    """A gateway that also sends events."""

    def event(self, body: bytes, signature: str) -> Event:
        """What a request says, once its signature holds. Raises ForgedEventError."""

    def refund_of(self, reference: str) -> Refund:
        """As it is now."""

    def dispute(self, reference: str) -> Dispute:
        """As it is now."""

    def payout(self, reference: str) -> Payout:
        """As it is now."""
