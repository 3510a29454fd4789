"""Fees in advance of a month in which the year of a commitment begins: what the year has spent
after it, by the service of the lines of both invoices, is what its days come to.
"""

from dataclasses import replace
from decimal import Decimal

import pytest

from pipeline.rating.advance import begun
from pipeline.rating.price import price
from schemas.billing import Billed, Inputs, Line, LineKind, Scope, Span
from schemas.prices import Bill, Charge, Fee, PerUnit
from schemas.terms import Commitment, Term
from tests.pipeline.rating.worlds import END, MONTH, START, hour, row, scope_of

PLAN = Charge(Fee(bill=Bill.ADVANCE), PerUnit(Decimal("30.00")), "hosting")
SIXTEENTH, TWENTY_FIRST = hour(360), hour(480)
YEAR = Commitment("year", Span(SIXTEENTH), Decimal("360.00"), Term.YEAR, "hosting")
"""Of April, a month of 30 days at 1.00 a day, 15 are its."""
NEW = replace(YEAR, name="new", valid=Span(TWENTY_FIRST))


def scope(*agreed: Commitment, end: str = "") -> Scope:
    """A price row for each part; ``end`` names the day of April on which the rental ends."""
    until = hour((int(end) - 1) * 24) if end else None
    starts = sorted({START, *(max(START, one.valid.start) for one in agreed)})
    rows = [
        row(PLAN, "plan", Span(low, high), at=f"v{low.day}")
        for low, high in zip(starts, [*starts[1:], None], strict=True)
    ]
    return replace(scope_of(*rows, rented=Span(START, until)), commitments=agreed)


def ahead(*said: str) -> tuple[Billed, ...]:
    """``15.00`` of the time before a year, ``15.00 since 16`` of what it counts."""
    parts = [one.partition(" since ") for one in said]
    return tuple(
        Billed("web", "plan", "hosting", Decimal(net), Decimal(19),
               hour((int(day) - 1) * 24) if day else None)
        for net, _, day in parts
    )  # fmt: skip


def of_april(known: Scope, billed: tuple[Billed, ...]) -> list[Line]:
    lines = price(known, Inputs(MONTH, billed=billed), END)
    return [line for line in lines if line.service.start < END]


@pytest.mark.parametrize(
    ("rule", "agreed", "billed", "end", "lines"),
    [
        ("no year: what it came to is what was billed, however it was cut",
         (), ["30.00"], "", []),
        ("billed whole before the year was known",
         (YEAR,), ["30.00"], "", ["1 15.00", "1 -30.00", "16 15.00"]),
        ("billed by its parts",
         (YEAR,), ["15.00", "15.00 since 16"], "", []),
        ("then it ends in the year: only that part has changed",
         (YEAR,), ["15.00", "15.00 since 16"], "21", ["16 5.00", "16 -15.00"]),
        ("or before it",
         (YEAR,), ["15.00", "15.00 since 16"], "11", ["1 10.00", "1 -15.00", "16 -15.00"]),
        ("the parts are other ones, the sum is the same",
         (YEAR,), ["10.00", "20.00 since 16"], "",
         ["1 15.00", "1 -10.00", "16 15.00", "16 -20.00"]),
        ("two years begin",
         (YEAR, NEW), ["15.00", "5.00 since 16", "10.00 since 21"], "26",
         ["21 5.00", "21 -10.00"]),
        ("a month's commitment asks for no parts",
         (replace(YEAR, term=Term.MONTH, amount=Decimal("10.00")),), ["30.00"], "", []),
        ("nor a year from the month's first day, nor one of the past",
         (replace(YEAR, valid=Span(START)), replace(YEAR, name="old", valid=Span(hour(-24)))),
         ["30.00"], "", []),
        ("nor one that has ended by the month's end",
         (replace(YEAR, amount=Decimal("1.00"), valid=Span(SIXTEENTH, TWENTY_FIRST)),),
         ["30.00"], "", []),
    ],
)  # fmt: skip
def test_what_was_billed_ahead_is_settled_by_the_parts_that_years_count(
    rule: str, agreed: tuple[Commitment, ...], billed: list[str], end: str, lines: list[str]
) -> None:
    made = of_april(scope(*agreed, end=end), ahead(*billed))
    assert [f"{line.service.start.day} {line.net}" for line in made] == lines, rule
    assert len({line.key for line in made}) == len(made)


def test_the_parts_of_a_month_begin_where_years_do() -> None:
    """Not with the month, nor before it: what was billed for it then is of its first part."""
    since = (replace(YEAR, name=f"{at}", valid=Span(hour(at))) for at in (0, -24))
    assert begun(scope(NEW, YEAR, *since), MONTH) == [SIXTEENTH, TWENTY_FIRST]


def test_what_is_taken_off_says_the_time_that_was_billed() -> None:
    known = scope(YEAR, end="11")
    off = [one for one in of_april(known, ahead("15.00", "15.00 since 16"))
           if one.kind is LineKind.BILLED]  # fmt: skip
    assert [one.service for one in off] == [MONTH, Span(SIXTEENTH, END)]
    assert [one.key for one in off] == [
        "acme/web/plan/2026-04-01T00:00:00Z/billed/hosting/19",
        "acme/web/plan/2026-04-01T00:00:00Z/billed/hosting/19/2026-04-16T00:00:00Z",
    ]
