"""What commands in whatever order come to: hours of one day, `s5` begins, `r7` resumes."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        ("s1-2 s5-8 s6-10", "1-2 5-10"),
        ("s5-10 s3", "3-"),
        ("s5-10 r10 s3", "3-10"),
        ("s5-10 s10 r10", "5-10"),
        ("s5 r5", ""),
        ("s5 r5 s5", "5-"),
        ("s5 r5 s5-8", "5-8"),
        ("s3 s5 r5", "3-5"),
        ("s5 r5 s3", "3-"),
        ("s5 r5 s3 r5", "3-5"),
        ("s5 r5 s5 r5 s3", "3-"),
        ("s5-10 s10 r10 s3-12", "3-12"),
        ("s5-10 r10 s3-12", "3-10"),
        ("s5 r7 s5 r5 s3", "3-7"),
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
        ("s5 r5 s3", "r5", False),
        ("s5 r7", "r7", True),
        ("s5 r7 s7", "r7", False),
        ("s5", "r5", False),
        ("s5 s7", "s6", False),
        ("s5 r7", "r8", False),
    ],
)
def test_what_was_told_again(before: str, new: str, again: bool) -> None:
    assert told(new)[0].again(told(before)) is again


# -- laws --------------------------------------------------------------------


@st.composite
def commands(draw: st.DrawFn, hours: Sequence[int] = range(20)) -> list[str]:
    """Of different instants."""
    found = []
    for at in draw(st.lists(st.sampled_from(hours), unique=True, max_size=7)):
        end = draw(st.none() | st.integers(at + 1, 21))
        found.append(draw(st.sampled_from([f"r{at}", f"s{at}" if end is None else f"s{at}-{end}"])))
    return found


def come_to(words: Sequence[str]) -> list[Span]:
    return [span for span, _ in in_force(told(" ".join(words)))]


@given(commands(), st.randoms(use_true_random=False))
def test_their_order_does_not_matter(words: list[str], rng: random.Random) -> None:
    """docs/price.md: a suspension lasts until its end or the next resumption after its beginning,
    in whatever order they are told.
    """
    assert come_to(rng.sample(words, len(words))) == come_to(words)


@given(commands([hour for hour in range(20) if hour != 9]), st.integers(0, 7), st.integers(0, 7),
       st.sampled_from(["s9", "s9-11", "s9-21"]))  # fmt: skip
def test_what_is_taken_back_never_was(
    words: list[str], told_after: int, more: int, beginning: str
) -> None:
    """Told and taken back at any time, with others told between and since, it ends none of them;
    but where one is going on when it is taken back: that is resumed.
    """
    early, late = words[:told_after], words[told_after:]
    between, since = late[:more], late[more:]
    going_on = any(
        span.start < WHEN[9] and span.holds(WHEN[9]) for span in come_to(early + between)
    )
    plain = [*early, *between, *(["r9"] if going_on else []), *since]
    assert come_to([*early, beginning, *between, "r9", *since]) == come_to(plain)
