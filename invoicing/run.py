"""What all documents of one close share, and how one that fails is kept from the others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final, TypeVar

import psycopg
from psycopg import errors

from invoicing.held import AlreadySealedError, TimelineChangedError
from invoicing.lines import taxed_at
from invoicing.looks import LookedAtError
from invoicing.number_log import NumberLog
from invoicing.outcomes import outcome_of
from invoicing.papers import Terms
from invoicing.plan import Group
from invoicing.report import Outcome, Status
from pipeline.periods import zone
from schemas.billing import Seller
from schemas.errors import RackmeterError
from sinks.database import NewerSchemaError

RACES: Final = (
    AlreadySealedError,
    LookedAtError,
    TimelineChangedError,
    errors.SerializationFailure,
    errors.DeadlockDetected,
)
"""Somebody else was quicker: look again."""
FATAL: Final = (psycopg.OperationalError, NewerSchemaError)
"""Of no single document."""
ATTEMPTS: Final = 5
"""Each lost race means that somebody else went on; five in a row mean that something is wrong."""
CREDIT_NOTE_MIN: Final = Decimal("1.00")
"""What gives back less is no document of its own: handling it costs both sides more."""


Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Run:
    """How this close is done."""

    seller: Seller
    grace_ms: int
    issued_at: datetime
    dry_run: bool
    folder: Path | None
    log: NumberLog
    step: Callable[[str, str], None]
    """Told which step of which account is about to be taken."""
    least: Decimal = CREDIT_NOTE_MIN
    """The least that a credit note is written for."""
    rates: tuple[tuple[date, dict[str, Decimal]], ...] = ()
    """From which day on which tax rates the seller has; always its own, if nothing is said."""
    rehearsed: bool = False
    """Of a dry run: what it would write is written, and rolled back by who began it."""

    def seller_of(self, group: Group) -> Seller:
        """The seller with the rates of the period's last day, not of the night it is closed in.

        A day is one wherever the customer is. A new category has the rate that it came with.
        """
        last = taxed_at(group.period).astimezone(zone(group.timezone)).date()
        then = [tax for day, tax in self.rates if day <= last]
        return replace(self.seller, tax={**self.seller.tax, **then[-1]}) if then else self.seller

    def steps(self, groups: Sequence[Group]) -> Callable[[str], None]:
        """Tells a step of each of these groups."""

        def step(name: str) -> None:
            for group in groups:
                self.step(name, group.account)

        return step

    @property
    def terms(self) -> Terms:
        return Terms(self.least, found_too=self.dry_run and not self.rehearsed)


def guarded(group: Group, act: Callable[[], Made]) -> Made | Outcome:
    """What ``act`` makes. What fails in one document parks it; a lost database is not of one."""
    try:
        return act()
    except (*FATAL, *RACES):
        raise
    except Exception as error:  # one failing scope must not stop the others
        return failed(group, error)


def failed(group: Group, error: Exception) -> Outcome:
    """The group is parked, with the reason."""
    known = isinstance(error, RackmeterError)
    reason = str(error) if known else f"{type(error).__name__}: {error}"
    return outcome_of(group, Status.PARKED, reasons=(reason,))


def busy(group: Group) -> Outcome:
    """All attempts were lost."""
    reason = f"The timelines of {group.account} changed {ATTEMPTS} times meanwhile: close again."
    return outcome_of(group, Status.WAITING, reasons=(reason,))
