"""The computation that made a line, found again in the pricing of its scope. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from invoicing.document import Priced
from pipeline.periods import closed, following
from pipeline.rating.charge import Frame, line_key, priced
from pipeline.rating.charge import Priced as Amount
from pipeline.rating.cut import Group, cut
from pipeline.rating.fee import due
from pipeline.rating.gate import gate
from pipeline.rating.once import owed
from pipeline.rating.price import measured
from schemas.billing import Line


@dataclass(frozen=True, slots=True)
class Made:
    """A line of a charge with everything it was computed from."""

    frame: Frame
    groups: list[Group]
    """Of all charges of the scope's period, measured and with what is included."""
    group: Group
    """Of this charge."""
    amount: Amount
    """Segment, part of the model and exact amount."""
    fellows: tuple[Amount, ...]
    """The same of all lines of the charge, in order."""
    advance: bool
    """It is a fee for the period that follows."""


def made(entry: Priced, line: Line) -> Made | None:
    """None where no charge makes the line: discounts, true-ups, what was billed in advance."""
    for frame, groups, advance in _frames(entry):
        for group in groups:
            fellows = tuple(priced(frame, group))
            for one in fellows:
                if line_key(frame.scope, frame.period, one.billable.segment, one.part.name) == (
                    line.key
                ):
                    return Made(frame, groups, group, one, fellows, advance)
    return None


def _frames(entry: Priced) -> Iterator[tuple[Frame, list[Group], bool]]:
    """The period, and the one after it, of which fees are due in advance."""
    scope = entry.scope
    frame = Frame(scope, gate(scope, entry.inputs), entry.as_of)
    yield frame, measured(frame, entry.inputs, cut(scope, frame.period)), False
    coming = following(frame.period, scope.timezone)
    later = Frame(scope, coming, closed(coming))
    once = owed(scope, coming)
    yield later, [due(group, coming, once) for group in cut(scope, coming)], True
