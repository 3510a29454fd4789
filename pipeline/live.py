"""Everything that a live rating says of a period, with each step of pricing done once. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pipeline.certain import at_certain, certain
from pipeline.periods import closed
from pipeline.rating.charge import Frame
from pipeline.rating.cut import cut
from pipeline.rating.gate import gate
from pipeline.rating.next_eval import next_eval_of
from pipeline.rating.price import measured, priced_lines
from pipeline.rating.usage_state import Progress, progress_of
from schemas.billing import Inputs, Line, Scope


@dataclass(frozen=True, slots=True)
class Live:
    """What a period has come to by ``as_of``."""

    scope: Scope
    inputs: Inputs
    as_of: datetime
    lines: tuple[Line, ...]
    """Of ``price``."""
    states: tuple[Progress, ...]
    """Of ``progress``."""
    sure: Mapping[tuple[str, str], int]
    """(item, charge) → base units a window that are certain of each percentile; of a pool on the
    item that pays."""
    sure_lines: tuple[Line, ...]
    """``lines`` with each percentile at what is certain: money to compare with a limit. The same
    ones where there is no percentile."""
    next_eval_at: datetime | None
    """None at the end of the period."""


def live(scope: Scope, inputs: Inputs, as_of: datetime) -> Live:
    frame = Frame(scope, gate(scope, inputs), as_of)
    cuts = cut(scope, frame.period)
    groups = measured(frame, inputs, cuts)
    lines = priced_lines(frame, inputs, groups)
    rates = certain(scope, inputs, cuts)
    return Live(
        scope,
        inputs,
        as_of,
        lines=lines,
        states=progress_of(frame, inputs, groups),
        sure={(g[0].row.item, g[0].row.charge): max(part.used for part in g) for g in rates},
        sure_lines=priced_lines(frame, inputs, at_certain(groups, rates)) if rates else lines,
        next_eval_at=next_eval_of(frame, cuts) if as_of < closed(frame.period) else None,
    )
