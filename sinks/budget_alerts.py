"""What is told of a budget: bodies and sentences for the customer, commands for provisioning. Pure.

A command's `data.at` orders it among the account's: who provisions ignores one that is older than
what it did last. Doing one twice is doing it once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from pipeline.budgets import Because, Budget, Lifted, Reached, is_cap
from pipeline.money import minor_units, round_step
from pipeline.periods import closed
from schemas.billing import Span
from schemas.events import (
    PROVISIONING_RESUME,
    PROVISIONING_SUSPEND,
    THRESHOLD_CLEARED,
    THRESHOLD_CROSSED,
    THRESHOLD_FORECAST,
)
from schemas.serial import decimal_text, instant_text
from sinks.outbox import CLEARED, Alert

CROSSED, FORECAST = "crossed", "forecast"
SUSPEND, RESUME = "suspend", "resume"
COMMANDS = {SUSPEND: PROVISIONING_SUSPEND, RESUME: PROVISIONING_RESUME}
_CLEARED: Final = {
    Because.AMOUNT: "{thing} has come to {used} of {limit} {unit}{certain} this month: below"
    " {percent} % again.",
    Because.LIMIT: "The limit of {thing} is {limit} {unit} now; it has come to {used}{certain},"
    " below {percent} %.",
    Because.DROPPED: "{percent} % of {limit} {unit} is no limit of {thing} any more.",
    Because.MONTH: "A new month has begun: what {thing} came to in the last one counts no more.",
}


@dataclass(frozen=True, slots=True)
class Looked:
    """When and at what the account was looked at."""

    account: str
    period: Span
    now: datetime
    sampled_at: datetime
    stands: Mapping[int, Fraction]
    """What each budget comes to with percentiles as they are so far, in its unit."""

    def certain(self, budget: Budget, amount: Fraction) -> str:
        """Said of an amount that is not what views show."""
        return "" if self.stands[budget.budget] == amount else " for certain"


def told(found: Reached, looked: Looked) -> Alert:
    """A budget is reached, or will be."""
    budget, kind = found.budget, FORECAST if found.at else CROSSED
    data = {
        "account": budget.account,
        "item": budget.item,
        "charge": budget.charge,
        "budget": str(budget.budget),
        "action": budget.action.value,
        "suspends": is_cap(budget, found.percent) and not found.at,
        "threshold": found.threshold,
        "percent": found.percent,
        **_amounts(budget, found.amount, looked),
        "unit": budget.unit,
        "money": not budget.charge,
        "period_start": instant_text(looked.period.start),
        "period_end": instant_text(closed(looked.period)),
        "sampled_at": instant_text(looked.sampled_at),
        "text": _sentence(found, looked),
    }
    if found.at:
        data["reached_at"] = instant_text(found.at.replace(microsecond=0))
    body = _body(THRESHOLD_FORECAST if found.at else THRESHOLD_CROSSED, looked.sampled_at, data)
    return Alert(
        budget.account, "", looked.period.start, found.threshold, found.limit_version, kind, body,
        looked.sampled_at,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Freed:
    """Of what a cap had suspended: what runs again, and what something else holds."""

    resumes: Sequence[str] = ()
    stays: Sequence[str] = ()


def taken_back(alert: Alert, lifted: Lifted, freed: Freed, looked: Looked) -> Alert:
    """A crossing that was told holds no longer, with what is true now."""
    before = alert.body["data"]
    data = {key: value for key, value in before.items() if key not in ("used", "stands")}
    certain = ""
    if lifted.budget is not None:
        data |= _amounts(lifted.budget, lifted.amount, looked)
        data["budget"] = str(lifted.budget.budget)
        certain = looked.certain(lifted.budget, lifted.amount)
    thing = _of(data["item"] or data["account"], data["charge"])
    text = _CLEARED[lifted.because].format(**{**data, "thing": thing, "certain": certain})
    data |= {
        "because": lifted.because.value,
        "resumes": list(freed.resumes),
        "stays": list(freed.stays),
        "sampled_at": instant_text(looked.sampled_at),
        "text": text + _freed(freed),
    }
    return Alert(
        alert.account, "", alert.period_start, alert.threshold, alert.limit_version, CLEARED,
        _body(THRESHOLD_CLEARED, looked.sampled_at, data), looked.sampled_at,
    )  # fmt: skip


def _freed(freed: Freed) -> str:
    if freed.resumes:
        return " What it suspended is being resumed" + (
            ", but for what something else holds." if freed.stays else "."
        )
    return " What it suspended stays so: something else holds it." if freed.stays else ""


def command(alert: Alert, kind: str, items: Sequence[str], now: datetime, number: int = 0) -> Alert:
    """What provisioning is to do because of an alert: suspend these items, or resume them.

    ``number`` tells apart commands because of one alert: what is rented later is told later.
    """
    data = {
        "account": alert.account,
        "items": list(items),
        "budget": alert.body["data"]["budget"],
        "because": alert.alert_id,
        "at": instant_text(now),
        "text": alert.body["data"]["text"],
    }
    return Alert(
        alert.account, "", alert.period_start, alert.threshold, f"{alert.limit_version}/{number}",
        kind, _body(COMMANDS[kind], now, data), alert.sampled_at,
    )  # fmt: skip


def _body(kind: str, at: datetime, data: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "timestamp": instant_text(at), "data": data}


def _amounts(budget: Budget, amount: Fraction, looked: Looked) -> dict[str, str]:
    """``stands`` where it is another one than what is certain."""
    stands = looked.stands[budget.budget]
    shown = {} if stands == amount else {"stands": _used(budget, stands)}
    return {"used": _used(budget, amount), "limit": _limit(budget)} | shown


def _sentence(found: Reached, looked: Looked) -> str:
    budget = found.budget
    thing = _of(budget.item or budget.account, budget.charge)
    limit = f"{_limit(budget)} {budget.unit}"
    certain = looked.certain(budget, found.amount)
    line = f"{_used(budget, found.amount)} of {limit}{certain}"
    if found.at:
        hours = max(1, round((found.at - looked.now).total_seconds() / 3600))
        return f"{thing} has come to {line}; {limit} is reached in {hours} h at this rate."
    end = " It is being suspended." if is_cap(budget, found.percent) else ""
    return f"{thing} has come to {line} this month: {found.percent} % is reached.{end}"


def _of(thing: str, charge: str) -> str:
    return f"{thing} ({charge})" if charge else thing


def _used(budget: Budget, amount: Fraction) -> str:
    """For people: money in minor units, a quantity to the hundredth."""
    return decimal_text(round_step(amount, _step(budget)))


def _limit(budget: Budget) -> str:
    """As it was set, money with all of its minor units."""
    whole = round_step(budget.most, _step(budget))
    return decimal_text(budget.most if budget.charge or whole != budget.most else whole)


def _step(budget: Budget) -> Decimal:
    return Decimal(1).scaleb(-(2 if budget.charge else minor_units(budget.unit)))
