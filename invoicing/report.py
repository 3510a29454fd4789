"""What a close did, as data. Printing and exit codes are somebody else's. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from invoicing.document import CREDIT_NOTE, INVOICE
from invoicing.reconcile import Difference
from schemas.billing import Span
from schemas.errors import (
    EXIT_DONE,
    DependencyError,
    DifferenceError,
    RackmeterError,
    RefusedError,
)


class Status(StrEnum):
    """What became of an invoice."""

    ISSUED = "issued"
    EXISTS = "exists"
    """Issued before, by this or another close."""
    EMPTY = "empty"
    """Sealed; there was nothing to bill."""
    DRAFT = "draft"
    """A dry run: would be issued."""
    WAITING = "waiting"
    """The period is still open; the reasons say for what it waits."""
    PARKED = "parked"
    """Figures differ or a scope failed; a person has to look."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One invoice, or why there is none."""

    account: str
    currency: str
    period: Span
    scopes: tuple[str, ...]
    status: Status
    kind: str = INVOICE
    corrects: str = ""
    """Number of the invoice that a credit note corrects."""
    about: str | None = None
    """Of corrections: the invoice that billed the period first, "" where nothing was billed or
    where it is not known yet; None where it is the period's own invoice.
    """
    invoice_id: str | None = None
    number: str | None = None
    net: Decimal | None = None
    tax: Decimal | None = None
    gross: Decimal | None = None
    lines: int = 0
    checked: int = 0
    """Comparisons that reconciliation made."""
    differences: tuple[Difference, ...] = ()
    reasons: tuple[str, ...] = ()
    files: tuple[str, ...] = field(default=())
    """Written for it, when a folder was given."""


@dataclass(frozen=True, slots=True)
class Unbilled:
    """A sealed period that comes to something else than was billed, and where that goes."""

    account: str
    currency: str
    scope: str
    period: Span
    invoice: str
    net: Decimal
    lines: int
    why: tuple[str, ...]
    goes: str
    """To a ``credit-note`` or an ``invoice`` of its own, or to the ``next invoice``; or why it goes
    nowhere.
    """


@dataclass(frozen=True, slots=True)
class CloseReport:
    """A whole close."""

    outcomes: tuple[Outcome, ...]
    dry_run: bool = False
    unbilled: tuple[Unbilled, ...] = ()
    """As found before anything of it was billed."""
    seconds: float = 0

    @property
    def checked(self) -> int:
        return sum(outcome.checked for outcome in self.outcomes)

    @property
    def differences(self) -> tuple[Difference, ...]:
        return tuple(found for outcome in self.outcomes for found in outcome.differences)

    def having(self, *statuses: Status) -> tuple[Outcome, ...]:
        return tuple(outcome for outcome in self.outcomes if outcome.status in statuses)

    @property
    def invoices(self) -> tuple[Outcome, ...]:
        return tuple(one for one in self._billed if one.kind != CREDIT_NOTE)

    @property
    def credit_notes(self) -> tuple[Outcome, ...]:
        return tuple(one for one in self._billed if one.kind == CREDIT_NOTE)

    @property
    def _billed(self) -> tuple[Outcome, ...]:
        return self.having(Status.ISSUED, Status.EXISTS, Status.DRAFT, Status.EMPTY)

    def totals(self) -> dict[str, Decimal]:
        """Gross of all invoices less credit notes, by currency."""
        return _by_currency(self._billed)

    @property
    def exit_code(self) -> int:
        """The most serious outcome: a difference, a failure, files not written, an open period."""
        if self.differences:
            return DifferenceError.exit_code
        if self.having(Status.PARKED):
            return RackmeterError.exit_code
        if any(outcome.reasons for outcome in self.having(Status.ISSUED, Status.EXISTS)):
            return DependencyError.exit_code
        return RefusedError.exit_code if self.having(Status.WAITING) else EXIT_DONE


def _by_currency(outcomes: Iterable[Outcome]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for outcome in outcomes:
        if outcome.gross is not None:
            sums[outcome.currency] = sums.get(outcome.currency, Decimal(0)) + outcome.gross
    return sums
