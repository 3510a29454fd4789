"""Step 1: refuse inputs that cannot be priced. Pure.

The database's constraints make each of these impossible, so one that arrives is a bug in a reader
and a plain ValueError: the scope stops, nothing is billed by guess.
"""

from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise

from pipeline.periods import closed
from schemas.billing import Inputs, Scope, Span


def gate(scope: Scope, inputs: Inputs) -> Span:
    """The period of the inputs, when they hold together."""
    end = closed(inputs.period)
    for row in inputs.usage:
        if not inputs.period.start <= row.start < row.end <= end:
            raise ValueError(
                f"usage of {row.server} {row.meter} from {row.start.isoformat()} to"
                f" {row.end.isoformat()} does not lie in the period {inputs.period}"
            )
    rows = ((f"price {row.item}/{row.charge}", row.valid) for row in scope.prices)
    _refuse_overlap(rows)
    _refuse_overlap((f"assignment of {a.server}", a.valid) for a in scope.assignments)
    return inputs.period


def _refuse_overlap(named: Iterable[tuple[str, Span]]) -> None:
    """No two spans of one name share an instant."""
    order: list[tuple[str, datetime, Span]] = [(name, span.start, span) for name, span in named]
    order.sort(key=lambda entry: entry[:2])
    for (name, _, span), (other, start, _) in pairwise(order):
        if name == other and (span.end is None or start < span.end):
            raise ValueError(f"{name}: two rows are valid at {start.isoformat()}")
