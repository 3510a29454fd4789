"""Step 2: cut the period by the timelines into segments, each with one item at one price. Pure."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Generic, TypeVar

from pipeline.money import exact_text
from pipeline.periods import closed, microseconds
from schemas.billing import HourlyCap, Item, Model, Overage, PriceRow, Scope, Span
from schemas.serial import instant_text

M = TypeVar("M", HourlyCap, Overage)


@dataclass(frozen=True, slots=True)
class Segment(Generic[M]):
    """Part of the period in which an item had one price; ``used`` is filled by ``aggregate``."""

    item: Item
    row: PriceRow
    model: M
    start: datetime
    end: datetime
    used: int = 0


def cut(scope: Scope, period: Span, kind: type[M]) -> list[tuple[Segment[M], ...]]:
    """The segments of each charge of each item whose model is ``kind``, in order of time.

    A charge whose unit family changes (bytes, then hours) is two: their allowances do not mix.
    """
    items = {item.item: item for item in scope.items}
    groups: dict[tuple[str, str, str], list[Segment[M]]] = defaultdict(list)
    for row in scope.prices:
        item, model = items.get(row.item), row.model
        if item is None or not isinstance(model, kind):
            continue
        for start, end in _rented(row.valid, item.valid, period):
            key = (row.item, row.charge, _family(model))
            groups[key].append(Segment(item, row, model, start, end))
    return [tuple(sorted(groups[key], key=lambda s: s.start)) for key in sorted(groups)]


def line_key(scope: Scope, period: Span, segment: Segment[M]) -> str:
    """``scope/item/charge/period start/part``; the part is the second at which the service starts.

    So a line keeps its key when a late price change cuts the month before or after it.
    """
    seconds = Decimal(microseconds(period.start, segment.start)).scaleb(-6)
    row, start = segment.row, instant_text(period.start)
    return f"{scope.scope}/{row.item}/{row.charge}/{start}/{exact_text(seconds)}"


def line_title(segment: Segment[M]) -> str:
    return f"{segment.item.title}: {segment.row.charge}"


def _rented(valid: Span, item: Span, period: Span) -> list[tuple[datetime, datetime]]:
    """The overlap of all three, once or not at all."""
    in_period = valid.clip(period.start, closed(period))
    rented = item.clip(in_period.start, closed(in_period)) if in_period else None
    return [(rented.start, closed(rented))] if rented else []


def _family(model: Model) -> str:
    return model.unit.of if isinstance(model, Overage) else ""
