"""Laws of commitments: what is lacking of a month or year of the zone, of the charges named."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from pipeline.periods import closed
from pipeline.rating.commitment import running
from pipeline.rating.next_eval import next_eval_at
from pipeline.rating.price import price
from schemas.billing import Line, LineKind, Span
from schemas.terms import Commitment, Term
from tests.pipeline.rating.drawn import everywhere
from tests.pipeline.rating.places import Place, local_midnight, paid, share
from tests.pipeline.rating.worlds import World, laws, total

Found = dict[tuple[str, Span], Decimal]
"""Net by commitment and committed time."""


@laws
@given(everywhere(), st.booleans())
def test_what_is_lacking_is_charged_when_its_time_is_over(world: World, late: bool) -> None:
    at = world.end if late else world.as_of
    lines = price(world.scope, world.inputs, at)
    true_ups = [line for line in lines if line.kind is LineKind.TRUE_UP]
    charged = {(line.charge, line.service): line.net for line in true_ups}
    assert charged == lacking(world, at, [line for line in lines if line not in true_ups])
    assert len(charged) == len(true_ups)


@laws
@given(everywhere())
def test_a_year_that_is_running_began_before_the_period(world: World) -> None:
    """And its end is swept, also when nothing else happens."""
    place, scope, silent = world.place, world.scope, world.inputs
    found = {(one.name, year) for one, year in running(scope, place.period)}
    terms = [(c, term) for c in scope.commitments for _, term in committed(c, place)]
    assert found == {
        (c.name, term) for c, term in terms if c.term is Term.YEAR and term.start < place.start
    }
    ends = [closed(term) for _, term in terms if world.as_of < closed(term) <= place.end]
    due = next_eval_at(scope, silent, world.as_of)
    assert not ends or (due is not None and due <= min(ends))


def lacking(world: World, at: datetime, lines: list[Line]) -> Found:
    place, found = world.place, {}
    for one in world.scope.commitments:
        for whole, term in committed(one, place):
            if not place.start < closed(term) <= min(at, place.end):
                continue
            agreed = paid(share(term, whole) * Fraction(one.amount), place.currency)
            mine = total(line for line in lines if counts(one, term, line))
            began = term.start < place.start
            spent = sum(s.net for s in world.inputs.spent if began and s.commitment == one.name)
            if agreed > mine + spent:
                found[one.name, term] = agreed - mine - spent
    return found


def counts(one: Commitment, term: Span, line: Line) -> bool:
    return (not one.charges or line.charge in one.charges) and term.holds(line.service.start)


def committed(one: Commitment, place: Place) -> Iterator[tuple[Span, Span]]:
    """Each month or year that touches the period, and the part of it that is committed."""
    for whole in [place.period] if one.term is Term.MONTH else years(one, place):
        term = one.valid.clip(whole.start, closed(whole))
        if term is not None and term.clip(place.start, place.end):
            yield whole, term


def years(one: Commitment, place: Place) -> Iterator[Span]:
    """From the start, then from local midnights of its day."""
    start = one.valid.start
    for year in range(1, 6):
        end = local_midnight(place, one.valid.start, year)
        yield Span(start, end)
        start = end
