"""When an invoice is tried, and for how much. Pure.

The first attempt is on the day the invoice is due. After a decline the same method is tried again
on the days of the schedule, and at once when another one was saved. What was declined for good is
not tried with the same method.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from pipeline.money import EXACT, round_step
from schemas.errors import RefusedError

CHANGED: Final = "amount_changed"
FAILED: Final = "gateway_failed"
ABANDONED: Final = "abandoned"
"""The customer did not do in time what was asked of him; counts as a decline."""
_NO_DECLINE: Final = (CHANGED, FAILED)


@dataclass(frozen=True, slots=True)
class Past:
    """An attempt that was canceled."""

    token: str
    reason: str
    final: bool
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Chosen:
    """The method that would be charged."""

    token: str
    added_at: datetime


def next_try(
    due_at: datetime, past: Sequence[Past], chosen: Chosen, retry_days: Sequence[int]
) -> datetime | None:
    """When the method is charged, which may be long ago; None: not until another one is saved."""
    declined = [one for one in past if one.reason not in _NO_DECLINE]
    if not declined:
        return due_at
    last = declined[-1]
    if chosen.token != last.token:
        return max(due_at, chosen.added_at)
    tries = sum(one.token == chosen.token for one in declined)
    if last.final or tries > len(retry_days):
        return None
    return last.ended_at + timedelta(days=retry_days[tries - 1])


def require_step(amount: Decimal, step: Decimal, currency: str) -> None:
    """Raises RefusedError for an amount that a gateway with such steps cannot move."""
    if amount % step:
        raise RefusedError(f"{amount} {currency} is no multiple of {step}, the least that moves.")


def payable(outstanding: Decimal, carried: Decimal, step: Decimal) -> Decimal:
    """What is asked for: with what earlier payments could not move, to the nearest step."""
    return round_step(EXACT.add(outstanding, carried), step)
