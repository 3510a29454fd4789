"""What a customer is told about a threshold: the event's body and its sentence. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from pipeline.budgets import FORECAST
from pipeline.money import round_step
from pipeline.periods import closed, zone
from pipeline.thresholds import Crossing
from schemas.billing import Scope, Span
from schemas.events import THRESHOLD_CLEARED, THRESHOLD_CROSSED, THRESHOLD_FORECAST
from schemas.prices import Unit
from schemas.serial import decimal_text, instant_text
from sinks.outbox import CLEARED, Alert


def crossed(
    scope: Scope, period: Span, crossing: Crossing, now: datetime, sampled_at: datetime
) -> Alert:
    """Usage has reached a threshold, or will."""
    kind = THRESHOLD_FORECAST if crossing.kind == FORECAST else THRESHOLD_CROSSED
    data = {
        "account": scope.account,
        "scope": scope.scope,
        "item": crossing.item,
        "charge": crossing.charge,
        "threshold": crossing.threshold,
        "percent": crossing.percent,
        "used": _amount(crossing.used, crossing.unit),
        "allowance": _amount(crossing.allowance, crossing.unit),
        "unit": crossing.unit.name,
        "used_base": str(crossing.used),
        "allowance_base": str(crossing.allowance),
        "period_start": instant_text(period.start),
        "period_end": instant_text(closed(period)),
        "sampled_at": instant_text(sampled_at),
        "text": _sentence(scope, period, crossing, now),
    }
    if crossing.at is not None:
        data["reached_at"] = instant_text(crossing.at.replace(microsecond=0))
    return Alert(
        account=scope.account,
        scope=scope.scope,
        period_start=period.start,
        threshold=crossing.threshold,
        limit_version=crossing.limit_version,
        kind=crossing.kind,
        body={"type": kind, "timestamp": instant_text(sampled_at), "data": data},
        sampled_at=sampled_at,
    )


def _sentence(scope: Scope, period: Span, crossing: Crossing, now: datetime) -> str:
    title = next((item.title for item in scope.items if item.item == crossing.item), crossing.item)
    thing = f"{title} ({crossing.item})" if crossing.item else f"The pool {crossing.charge}"
    local, unit = zone(scope.timezone), crossing.unit.name
    first = period.start.astimezone(local).date()
    last = (closed(period) - timedelta(microseconds=1)).astimezone(local).date()
    used, limit = (_amount(n, crossing.unit) for n in (crossing.used, crossing.allowance))
    if crossing.threshold.rpartition("/")[2] == f"{crossing.percent}%":
        return (
            f"{thing} has used {used} of the {limit} {unit} {crossing.charge} included from {first}"
            f" to {last}: {crossing.percent} % is reached."
        )
    come_to = f"{thing} has come to {used} {unit} of {crossing.charge} since {first}"
    if crossing.at is None:
        return f"{come_to}: {limit} {unit} is reached."
    hours = max(1, round((crossing.at - now) / timedelta(hours=1)))
    return f"{come_to}; {limit} {unit} is reached in {hours} h at this rate."


def _amount(base: int, unit: Unit) -> str:
    """For people, in the unit's steps; the exact figures are the `…_base` ones."""
    return decimal_text(round_step(Fraction(base, unit.is_), unit.step))


def cleared(
    announced: Iterable[Alert], standing: Sequence[Crossing], sampled_at: datetime
) -> list[Alert]:
    """One `cleared` for each threshold that a correction has taken usage below again.

    `announced` is what was last said of each (sinks.outbox.announcements).
    """
    names = {crossing.threshold for crossing in standing}
    return [
        Alert(
            account=alert.account,
            scope=alert.scope,
            period_start=alert.period_start,
            threshold=alert.threshold,
            limit_version=alert.limit_version,
            kind=CLEARED,
            body=_cleared_body(alert.body["data"], sampled_at),
            sampled_at=sampled_at,
        )
        for alert in announced
        if alert.kind != CLEARED and alert.threshold not in names
    ]


def _cleared_body(told: dict[str, Any], sampled_at: datetime) -> dict[str, Any]:
    at = instant_text(sampled_at)
    thing = f"{told['item'] or told['charge']}"
    if told["threshold"].endswith(f"/{FORECAST}"):
        text = (
            f"{thing} no longer reaches {told['allowance']} {told['unit']} of {told['charge']}"
            " in this period at its rate."
        )
    elif told["threshold"].endswith("%"):
        text = (
            f"A correction has taken {thing} below {told['percent']} % of its"
            f" {told['charge']} allowance again."
        )
    else:
        text = (
            f"A correction has taken {thing} below {told['allowance']} {told['unit']} of"
            f" {told['charge']} again."
        )
    kept = {key: value for key, value in told.items() if key not in ("used", "used_base")}
    return {
        "type": THRESHOLD_CLEARED,
        "timestamp": at,
        "data": {**kept, "sampled_at": at, "text": text},
    }
