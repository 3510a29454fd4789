"""Step 9: what the lines lack of an agreed minimum, when its month or year ends. Pure.

Rounds here: the part of a commitment that a partial month or year holds, to the minor unit. The
true-up itself is a difference of rounded nets, so late usage lowers it to the cent.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from pipeline.money import round_money
from pipeline.periods import closed, microseconds
from pipeline.rating.charge import Frame
from pipeline.rating.extra import nets
from pipeline.rating.terms import terms
from schemas.billing import Inputs, Line, LineKind, Scope, Span
from schemas.serial import instant_text
from schemas.terms import Commitment, Term


def true_ups(frame: Frame, inputs: Inputs, lines: Sequence[Line]) -> list[Line]:
    """One line for each commitment of which a month or year has ended by ``as_of``, and lacks."""
    found: list[Line] = []
    for commitment in sorted(frame.scope.commitments, key=lambda one: one.name):
        for whole, term in terms(commitment, frame.period, frame.scope.timezone):
            end = closed(term)
            if frame.period.start < end <= min(frame.as_of, closed(frame.period)):
                lack = _lack(frame, inputs, commitment, whole, term, lines)
                if lack > 0:
                    found.append(_line(frame, commitment, term, lack))
    return found


def next_settlement(frame: Frame) -> datetime | None:
    """The first end of a committed month or year after ``as_of`` in the period."""
    scope = frame.scope
    spans = (t for c in scope.commitments for _, t in terms(c, frame.period, scope.timezone))
    ends = [closed(term) for term in spans]
    return min((e for e in ends if frame.as_of < e <= closed(frame.period)), default=None)


def settles(commitments: Iterable[Commitment], period: Span, timezone: str) -> bool:
    """A committed month or year ends in the period."""
    spans = (term for c in commitments for _, term in terms(c, period, timezone))
    return any(closed(term) <= closed(period) for term in spans)


def running(scope: Scope, period: Span) -> Iterator[tuple[Commitment, Span]]:
    """Each yearly commitment of which a year was running when the period began, with that year."""
    for commitment in scope.commitments:
        if commitment.term is Term.YEAR:
            for _, year in terms(commitment, period, scope.timezone):
                if year.start < period.start:
                    yield commitment, year


def _lack(
    frame: Frame, inputs: Inputs, commitment: Commitment, whole: Span, term: Span,
    lines: Sequence[Line],
) -> Decimal:  # fmt: skip
    share = Fraction(
        microseconds(term.start, closed(term)), microseconds(whole.start, closed(whole))
    )
    agreed = round_money(share * Fraction(commitment.amount), frame.scope.currency)
    mine = (line for line in lines if counts(commitment, line) and term.holds(line.service.start))
    earlier = sum(
        (one.net for one in inputs.spent if one.commitment == commitment.name), Decimal(0)
    )
    # What was spent before belongs to the year that was running when the period began.
    running = term.start < frame.period.start
    return agreed - nets(mine) - (earlier if running else 0)


def counts(commitment: Commitment, line: Line) -> bool:
    """The line is of a charge that the commitment names."""
    return not commitment.charges or line.charge in commitment.charges


def _line(frame: Frame, commitment: Commitment, term: Span, lack: Decimal) -> Line:
    """On the scope's first item: an invoice groups by item."""
    scope, start = frame.scope, instant_text(term.start)
    return Line(
        key=f"{scope.scope}/true-up/{commitment.name}/{instant_text(frame.period.start)}/{start}",
        scope=scope.scope,
        item=min((item.item for item in scope.items), default=""),
        charge=commitment.name,
        title=f"{commitment.name}: true-up to {commitment.amount} a {commitment.term.value}",
        service=term,
        quantity=Decimal(1),
        unit=LineKind.TRUE_UP.value,
        unit_price=lack,
        net=lack,
        tax=commitment.tax,
        version="",
        kind=LineKind.TRUE_UP,
    )
