"""How an account stands with its bills, and what comes next. Pure.

    current → overdue → restricted → suspended → terminated

A step is taken when the oldest unpaid invoice is old enough and the step was announced a whole
notice period before, however late anybody looked. Nothing is skipped. To terminate is announced
like the others, and then waits for a person. Who has paid is current again; a terminated account
has nothing left to be current with.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

from invoicing.gateways.stripe_amounts import least


class Stand(StrEnum):
    """In order: each is worse than the one before."""

    CURRENT = "current"
    OVERDUE = "overdue"
    RESTRICTED = "restricted"
    SUSPENDED = "suspended"
    TERMINATED = "terminated"


ORDER: Final = tuple(Stand)


@dataclass(frozen=True, slots=True)
class Policy:
    """Days after the due date at which each step is taken, days between notice and step, and days
    between one declined charge and the next. Who owes less than ``minimum`` of a currency, as what
    no card takes where none is said, is left in peace.
    """

    retry_days: tuple[int, ...] = (3, 5, 7)
    overdue_days: int = 1
    restrict_days: int = 14
    suspend_days: int = 21
    terminate_days: int = 45
    notice_days: int = 7
    minimum: Mapping[str, Decimal] = field(default_factory=dict)

    def least(self, currency: str) -> Decimal:
        """What has to be open of an account before it is dunned."""
        return self.minimum.get(currency, least(currency))

    def after(self, stand: Stand) -> timedelta:
        """How long after the due date an account may stand so."""
        days = {
            Stand.CURRENT: 0,
            Stand.OVERDUE: self.overdue_days,
            Stand.RESTRICTED: self.restrict_days,
            Stand.SUSPENDED: self.suspend_days,
            Stand.TERMINATED: self.terminate_days,
        }
        return timedelta(days=days[stand])


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an account is, and whether the next step was announced."""

    stand: Stand
    noticed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Tell that ``stand`` comes, not before ``at``."""

    stand: Stand
    at: datetime


@dataclass(frozen=True, slots=True)
class Step:
    """Go there now."""

    stand: Stand


@dataclass(frozen=True, slots=True)
class ForAPerson:
    """The time has come to terminate: nobody but a person does it."""


Move = Notice | Step | ForAPerson | None


def move(standing: Standing, oldest_due: datetime | None, now: datetime, policy: Policy) -> Move:
    """The one thing to do now. ``oldest_due`` is of what is unpaid; None: nothing is."""
    stand, notice = standing.stand, timedelta(days=policy.notice_days)
    if stand is Stand.TERMINATED:
        return None
    if oldest_due is None or now < oldest_due + policy.after(Stand.OVERDUE):
        return None if stand is Stand.CURRENT else Step(Stand.CURRENT)
    if stand is Stand.CURRENT:
        return Step(Stand.OVERDUE)
    coming = ORDER[ORDER.index(stand) + 1]
    reached = oldest_due + policy.after(coming)
    if standing.noticed_at is None:
        return Notice(coming, max(reached, now + notice)) if now >= reached - notice else None
    if now < max(reached, standing.noticed_at + notice):
        return None
    return ForAPerson() if coming is Stand.TERMINATED else Step(coming)
