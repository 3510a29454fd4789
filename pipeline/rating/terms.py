"""When what was agreed beyond prices holds, begins and ends: the time that lines count in. Pure.

``cut`` cuts what is charged by time at these instants, so that a line lies in one term or the next.
"""

from collections.abc import Iterator
from datetime import datetime

from pipeline.periods import anniversary, closed
from schemas.billing import Scope, Span
from schemas.terms import Commitment, Term


def terms(commitment: Commitment, period: Span, timezone: str) -> Iterator[tuple[Span, Span]]:
    """Each month or year that touches the period: the whole one, and the committed part of it."""
    for whole in _wholes(commitment, period, timezone):
        term = commitment.valid.clip(whole.start, closed(whole))
        if term is not None and term.clip(period.start, closed(period)):
            yield whole, term


def edges(scope: Scope, period: Span, charge: str = "") -> list[datetime]:
    """Where inside the period a discount, a commitment or a year of one begins or ends, in order:
    of those that count the charge, or of all.
    """
    spans = [one.valid for one in scope.discounts if _counts(one.charges, charge)]
    for one in scope.commitments:
        if _counts(one.charges, charge):
            spans += [term for _, term in terms(one, period, scope.timezone)]
    both = {edge for span in spans for edge in (span.start, span.end) if edge is not None}
    return sorted(edge for edge in both if period.start < edge < closed(period))


def _counts(charges: tuple[str, ...], charge: str) -> bool:
    return not charge or not charges or charge in charges


def _wholes(commitment: Commitment, period: Span, timezone: str) -> Iterator[Span]:
    if commitment.term is Term.MONTH:
        yield period
        return
    start, year = commitment.valid.start, 0
    while start < closed(period):
        year += 1
        end = anniversary(commitment.valid.start, year, timezone)
        yield Span(start, end)
        start = end
