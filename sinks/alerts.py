"""What a customer is told about a threshold: the event's body and its sentence. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, Final

from pipeline.budgets import FORECAST, Because, Said
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
        "money": not crossing.unit.of,
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
    titles = (item.title_at(now) for item in scope.items if item.item == crossing.item)
    title = next(titles, crossing.item)
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
    certain = " for certain" if crossing.certain else ""
    come_to = f"{thing} has come to {used} {unit} of {crossing.charge}{certain} since {first}"
    if crossing.at is None:
        return f"{come_to}: {limit} {unit} is reached."
    hours = max(1, round((crossing.at - now) / timedelta(hours=1)))
    return f"{come_to}; {limit} {unit} is reached in {hours} h at this rate."


def _amount(base: int, unit: Unit) -> str:
    """For people, in the unit's steps; the exact figures are the `…_base` ones."""
    return decimal_text(round_step(Fraction(base, unit.is_), unit.step))


def said_of(announced: Iterable[Alert]) -> dict[str, Said]:
    """What was last said of each threshold, but for forecasts."""
    return {
        alert.threshold: Said.of(crossed=alert.kind != CLEARED, limit_version=alert.limit_version)
        for alert in announced
        if not alert.threshold.endswith(f"/{FORECAST}")
    }


def fallen(announced: Iterable[Alert], standing: Iterable[Crossing]) -> list[Alert]:
    """Those announced that stand no longer; ``announced`` is what was last said of each."""
    names = {crossing.threshold for crossing in standing}
    return [a for a in announced if a.kind != CLEARED and a.threshold not in names]


def cleared(
    fallen: Iterable[Alert], watched: Mapping[str, Crossing], sampled_at: datetime
) -> list[Alert]:
    """One ``cleared`` for each crossing that holds no longer, with what is true now."""
    return [
        Alert(
            account=alert.account,
            scope=alert.scope,
            period_start=alert.period_start,
            threshold=alert.threshold,
            limit_version=alert.limit_version,
            kind=CLEARED,
            body=_cleared_body(alert, watched.get(alert.threshold), sampled_at),
            sampled_at=sampled_at,
        )
        for alert in fallen
    ]


def _cleared_body(alert: Alert, now: Crossing | None, sampled_at: datetime) -> dict[str, Any]:
    told, at = alert.body["data"], instant_text(sampled_at)
    because = _because(alert, now)
    data = {key: value for key, value in told.items() if key not in _OF_THEN}
    if now is not None:
        data |= {
            "used": _amount(now.used, now.unit),
            "allowance": _amount(now.allowance, now.unit),
            "used_base": str(now.used),
            "allowance_base": str(now.allowance),
        }
    forecast = alert.threshold.endswith(f"/{FORECAST}") and now is not None
    text = (_SLOWER if forecast else _CLEARED[because]).format(
        **{**data, "thing": told["item"] or told["charge"]}
    )
    return {
        "type": THRESHOLD_CLEARED,
        "timestamp": at,
        "data": {**data, "because": because.value, "sampled_at": at, "text": text},
    }


def _because(alert: Alert, now: Crossing | None) -> Because:
    if now is None:
        return Because.DROPPED
    said = Said.of(crossed=True, limit_version=alert.limit_version)
    return Because.AMOUNT if said.version == now.limit_version else Because.LIMIT


_OF_THEN: Final = ("used", "used_base", "reached_at")
_SLOWER: Final = "{thing} does not reach {allowance} {unit} of {charge} in this period at its rate."
_CLEARED: Final = {
    Because.AMOUNT: "{thing} has come to {used} of {allowance} {unit} of {charge}: below"
    " {percent} % again.",
    Because.LIMIT: "{thing} has another limit now: {used} of {allowance} {unit} of {charge}, below"
    " {percent} %.",
    Because.DROPPED: "{percent} % of {allowance} {unit} of {charge} is no limit of {thing} any"
    " more.",
}
