"""What periods come to: read together in one snapshot, then worked out one by one."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from pipeline.budgets import Mark, remember
from pipeline.live import Live, live
from pipeline.periods import closed
from pipeline.rating.figures import figures
from pipeline.thresholds import Crossing, crossings, forecasts, marks_now, watched
from schemas.billing import Inputs, Scope, Span
from schemas.prices import Fee
from schemas.serial import decimal_text, instant_text, to_json
from sinks.accrual_rows import Key, Row, Standing, standing
from sinks.alerts import cleared, crossed, fallen, said_of
from sinks.database import Connection
from sinks.outbox import Alert, announcements
from sinks.queries import usage_inputs_bulk
from sinks.scopes import load_scopes

Spans = Callable[[Connection, Mapping[str, Scope]], list[tuple[Scope, Span]]]
"""The periods to rate; asked inside the snapshot."""


@dataclass(frozen=True, slots=True)
class Read:
    """A period as the snapshot shows it."""

    scope: Scope
    period: Span
    standing: Standing
    as_of: datetime
    inputs: Inputs
    announced: tuple[Alert, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What a period comes to."""

    read: Read
    row: Row
    crossings: tuple[Crossing, ...]
    alerts: tuple[Alert, ...]
    """To be entered, but for those that were entered before."""


def read(
    conn: Connection, names: Sequence[str], now: datetime, spans: Spans, only: set[Key] | None
) -> list[Read]:
    scopes = load_scopes(conn, names)
    pairs = [
        (scope, span)
        for scope, span in spans(conn, scopes)
        if only is None or (scope.scope, span.start) in only
    ]
    keys = [(scope.scope, span.start) for scope, span in pairs]
    stands, announced = standing(conn, keys), announcements(conn, keys)
    # Clocks differ between machines; an accrual never goes back in time.
    together: dict[datetime, list[tuple[Scope, Span]]] = defaultdict(list)
    for (scope, span), key in zip(pairs, keys, strict=True):
        if not stands[key].sealed:
            together[max(now, stands[key].as_of or now)].append((scope, span))
    return [
        Read(scope, span, stands[key], min(at, closed(span)), inputs, announced.get(key, ()))
        for at, group in together.items()
        for (scope, span), inputs in zip(group, usage_inputs_bulk(conn, group, at), strict=True)
        for key in ((scope.scope, span.start),)
    ]


def work_out(read: Read, sampled_at: datetime) -> Found:
    scope, as_of = read.scope, read.as_of
    now = live(scope, read.inputs, as_of)
    marks = read_marks(read.standing.marks)
    row = Row(
        scope.scope, read.inputs, shown(now), as_of, now.next_eval_at, read.standing,
        written_marks(marks, marks_now(now)),
    )  # fmt: skip
    told = {alert.threshold for alert in read.announced}
    found = crossings(now, said_of(read.announced)) + forecasts(now, marks, told)
    said = {(alert.threshold, alert.limit_version, alert.kind) for alert in read.announced}
    new = [one for one in found if (one.threshold, one.limit_version, one.kind) not in said]
    alerts = [crossed(scope, read.period, one, as_of, sampled_at) for one in new]
    if down := fallen(read.announced, found):
        alerts += cleared(down, watched(now), sampled_at)
    return Found(read, row, found, tuple(alerts))


def read_marks(stored: Mapping[str, Any] | None) -> dict[str, tuple[Mark, ...]]:
    return {
        name: tuple(Mark(datetime.fromisoformat(at), Fraction(amount)) for at, amount in marks)
        for name, marks in (stored or {}).items()
    }


def written_marks(
    before: Mapping[str, tuple[Mark, ...]], now: Mapping[str, Mark]
) -> dict[str, list[tuple[str, str]]]:
    return {
        name: [(instant_text(m.at), str(m.amount)) for m in remember(before.get(name, ()), mark)]
        for name, mark in now.items()
    }


def shown(now: Live) -> list[dict[str, str]]:
    """What each charge has come to; where a percentile is rented, also what is certain.

    ``certain``: base units of a percentile; ``certain_net``: money; ``pace``: none, of what does
    not grow with time or use. A true-up that is due only by what is certain so far stands at
    nothing.
    """
    stands = {(one.item, one.charge): one for one in figures(now.scope, now.lines)}
    still = {(r.item, r.charge) for r in now.scope.prices if isinstance(r.price.quantity, Fee)}
    pace = {key: {"pace": "none"} for key in still | now.sure.keys()}
    if now.sure_lines is now.lines:
        return [to_json(one) | pace.get(key, {}) for key, one in stands.items()]
    sure = {(one.item, one.charge): one for one in figures(now.scope, now.sure_lines)}
    found = {key: replace(one, net=Decimal(0)) for key, one in sure.items()} | stands
    return [
        to_json(one)
        | pace.get(key, {})
        | {"certain_net": decimal_text(sure[key].net if key in sure else Decimal(0))}
        | ({"certain": str(now.sure[key])} if key in now.sure else {})
        for key, one in found.items()
    ]
