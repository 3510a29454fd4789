"""What commands in whatever order come to: hours of one day, `s5` begins, `r7` resumes."""

from datetime import UTC, datetime

import pytest

from pipeline.told import Told, in_force
from schemas.billing import Span

WHEN = {hour: datetime(2026, 3, 1, hour, tzinfo=UTC) for hour in range(24)}


def told(words: str) -> list[Told]:
    """s5 open from five o'clock, s5-8 until eight, r7 resumed at seven."""
    found = []
    for word in words.split():
        at, _, until = word[1:].partition("-")
        end = WHEN[int(until)] if until else None
        found.append(Told(WHEN[int(at)], word[0] == "s", end, why=word))
    return found


def spans(words: str) -> list[Span]:
    """5-7 10-"""
    pairs = (word.partition("-") for word in words.split())
    return [Span(WHEN[int(low)], WHEN[int(high)] if high else None) for low, _, high in pairs]


@pytest.mark.parametrize(
    ("given", "come_to"),
    [
        ("", ""),
        ("s5", "5-"),
        ("s5 r7", "5-7"),
        ("r7 s5", "5-7"),
        ("s5-10 r7", "5-7"),
        ("s10 s5", "5-"),
        ("s5 s10", "5-"),
        ("s10 s5 r7", "5-7 10-"),
        ("s5 r7 s10", "5-7 10-"),
        ("s5 s10 r7", "5-7 10-"),
        ("s5 r10 r7 s8", "5-7 8-10"),
        ("s5-10 s6-8", "5-10"),
        ("s6-8 s5-10", "5-10"),
        ("s5-8 s6-10", "5-10"),
        ("s6-10 s5-8", "5-10"),
        ("s5-8 s8-10", "5-10"),
        ("s5-8 s6", "5-"),
        ("s5-8 s9-10", "5-8 9-10"),
        ("s5-10 s3", "3-"),
        ("s5-10 r10 s3", "3-10"),
        ("s5-10 s10 r10", "5-10"),
        ("s5 r5", ""),
        ("s5 r5 s5", "5-"),
        ("s5 r5 s5-8", "5-8"),
        ("s3 s5 r5", "3-5"),
        ("s5 r7 s7", "5-"),
    ],
)
def test_what_commands_come_to(given: str, come_to: str) -> None:
    assert [span for span, _ in in_force(told(given))] == spans(come_to)


def test_the_reason_is_that_of_the_beginning() -> None:
    assert [why for _, why in in_force(told("s6-8 s5-7 s10 s12"))] == ["s5-7", "s10"]


@pytest.mark.parametrize(
    ("before", "new", "again"),
    [
        ("", "s5", False),
        ("s5", "s5", True),
        ("s5-8", "s5", False),
        ("s5-8 s5", "s5-8", True),
        ("s5 r5", "s5", False),
        ("s5 r5", "r5", True),
        ("s5 r5 s5", "r5", False),
        ("s5 r7", "r7", True),
        ("s5 r7 s7", "r7", False),
        ("s5", "r5", False),
        ("s5 s7", "s6", False),
        ("s5 r7", "r8", False),
    ],
)
def test_what_was_told_again(before: str, new: str, again: bool) -> None:
    assert told(new)[0].again(told(before)) is again
