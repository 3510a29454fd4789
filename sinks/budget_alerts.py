"""What is told of a budget: bodies and sentences for the customer, commands for provisioning. Pure.

A command's `data.at` orders it among the account's: who provisions ignores one that is older than
what it did last. Doing one twice is doing it once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from pipeline.budgets import Reached, is_cap
from pipeline.money import round_step
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
STEP = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Looked:
    """When and at what the account was looked at."""

    account: str
    period: Span
    now: datetime
    sampled_at: datetime


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
        "used": _text(found.amount),
        "limit": decimal_text(budget.most),
        "unit": budget.unit,
        "period_start": instant_text(looked.period.start),
        "period_end": instant_text(closed(looked.period)),
        "sampled_at": instant_text(looked.sampled_at),
        "text": _sentence(found, looked.now),
    }
    if found.at:
        data["reached_at"] = instant_text(found.at.replace(microsecond=0))
    body = _body(THRESHOLD_FORECAST if found.at else THRESHOLD_CROSSED, looked.sampled_at, data)
    return Alert(
        budget.account, "", looked.period.start, found.threshold, found.limit_version, kind, body,
        looked.sampled_at,
    )  # fmt: skip


def taken_back(alert: Alert, looked: Looked) -> Alert:
    """A crossing that was told holds no longer."""
    before = alert.body["data"]
    over = alert.period_start < looked.period.start
    why = "A new month has begun" if over else "A correction or a new limit has taken effect"
    text = f"{why}: {_of(before['item'] or before['account'], before['charge'])} is below {{}}."
    at = instant_text(looked.sampled_at)
    line = f"{before['percent']} % of {before['limit']} {before['unit']}"
    data = {key: value for key, value in before.items() if key != "used"}
    data |= {"sampled_at": at, "text": text.format(line)}
    return Alert(
        alert.account, "", alert.period_start, alert.threshold, alert.limit_version, CLEARED,
        _body(THRESHOLD_CLEARED, looked.sampled_at, data), looked.sampled_at,
    )  # fmt: skip


def command(alert: Alert, kind: str, items: Sequence[str], now: datetime) -> Alert:
    """What provisioning is to do because of an alert: suspend these items, or resume them."""
    data = {
        "account": alert.account,
        "items": list(items),
        "budget": alert.body["data"]["budget"],
        "because": alert.alert_id,
        "at": instant_text(now),
        "text": alert.body["data"]["text"],
    }
    return Alert(
        alert.account, "", alert.period_start, alert.threshold, alert.limit_version, kind,
        _body(COMMANDS[kind], now, data), alert.sampled_at,
    )  # fmt: skip


def _body(kind: str, at: datetime, data: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "timestamp": instant_text(at), "data": data}


def _sentence(found: Reached, now: datetime) -> str:
    budget = found.budget
    thing = _of(budget.item or budget.account, budget.charge)
    line = f"{_text(found.amount)} of {decimal_text(budget.most)} {budget.unit}"
    if found.at:
        hours = max(1, round((found.at - now).total_seconds() / 3600))
        limit = f"{decimal_text(budget.most)} {budget.unit}"
        return f"{thing} has come to {line}; {limit} is reached in {hours} h at this rate."
    end = " It is being suspended." if is_cap(budget, found.percent) else ""
    return f"{thing} has come to {line} this month: {found.percent} % is reached.{end}"


def _of(thing: str, charge: str) -> str:
    return f"{thing} ({charge})" if charge else thing


def _text(amount: Fraction) -> str:
    """For people, to the hundredth."""
    return decimal_text(round_step(amount, STEP))
