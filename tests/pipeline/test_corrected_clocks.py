"""With the broker's append time no wall clock moves usage: windows are those of an honest clock."""

from dataclasses import replace

import pytest

from schemas.envelope import Key, headers
from schemas.report import encode
from tests.pipeline.test_lanes import (
    ENVIRONMENT,
    LOG_APPEND_TIME,
    MINUTE,
    NOON,
    SECRET,
    TOPIC,
    Line,
    Rec,
    chunk,
    report,
)
from tests.pipeline.world import World

HOUR, DAY = 60 * MINUTE, 24 * 60 * MINUTE
LATEST = NOON + 60 * DAY


def sent(seq: int, *, ahead_ms: int, waited_ms: int) -> Rec:
    """Read at seq × 4 minutes past noon by a clock that is ahead; sent and appended later."""
    honest = report(seq, minute=4 * seq, value=1000 * (seq - 1))
    made = replace(
        honest,
        at_ms=honest.at_ms + ahead_ms,
        since_ms=honest.since_ms + ahead_ms,
        sent_up_ms=honest.at_up_ms + waited_ms,
    )
    body = encode(made)
    signed = headers(made, body, Key("k-s1", "s1", SECRET), ENVIRONMENT, TOPIC)
    appended = honest.at_ms + waited_ms
    return Rec(seq, body, b"s1", signed, appended, LOG_APPEND_TIME)


def metered(*, ahead_ms: int, waited_ms: int) -> tuple[World, str]:
    line = Line(base=1)
    for seq in range(1, 6):
        line.take(chunk(sent(seq, ahead_ms=ahead_ms, waited_ms=waited_ms)), now_ms=LATEST)
    assert line.counts == {"accepted": 5}
    return World(line.lane.heads, line.lane.out), line.lane.heads["s1"].flagged


@pytest.mark.parametrize("ahead_ms", [-40 * DAY, -2 * HOUR, -30_001, 30_001, 2 * HOUR, 40 * DAY])
@pytest.mark.parametrize("waited_ms", [0, 5, 3 * HOUR, 30 * DAY])
def test_a_wrong_clock_moves_no_usage(ahead_ms: int, waited_ms: int) -> None:
    honest, unflagged = metered(ahead_ms=0, waited_ms=0)
    world, flagged = metered(ahead_ms=ahead_ms, waited_ms=waited_ms)
    assert world.windows() == honest.windows()
    assert world.cover() == honest.cover()
    assert (unflagged, flagged) == ("", "clock")


@pytest.mark.parametrize("ahead_ms", [-30_000, 30_000])
def test_a_clock_within_the_tolerance_is_believed(ahead_ms: int) -> None:
    """What it moves over an edge of a window is no more than it is wrong."""
    honest, _ = metered(ahead_ms=0, waited_ms=5)
    world, flagged = metered(ahead_ms=ahead_ms, waited_ms=5)
    assert flagged == ""
    assert world.totals() == honest.totals()
    assert world.windows() != honest.windows()
