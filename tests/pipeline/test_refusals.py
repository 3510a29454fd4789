"""Refused servers stop a partition when they are many, and nobody can make them many."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from pipeline.heads import Output
from pipeline.keyring import Keyring
from pipeline.lanes import Sealed
from pipeline.records import Chunk
from pipeline.refusals import SERVERS_MIN, Refusals
from tests.pipeline.test_lanes import MINUTE, NOON, TOPIC, Line, Rec, intake, message

FLEET = [f"s{n}" for n in range(30)]
DAY = 24 * 60
WINDOW_MS = 15 * MINUTE


def unsigned(record: Rec) -> Rec:
    return replace(record, headers=())


def minute(at: int, good: Iterable[str], bad: Iterable[str]) -> list[Rec]:
    """A report of each server in this minute; those of the bad are unsigned."""
    taken = [message(0, at + 1, server=server, minute=at) for server in good]
    return taken + [unsigned(message(0, at + 1, server=server, minute=at)) for server in bad]


class Partition:
    """A lane, a checkpoint each minute, and who watches it."""

    def __init__(self, *servers: str, ratio: float = 0.5, reports: int = 1) -> None:
        self.line = Line(known=intake(*servers))
        self.refusals = Refusals(0, ratio, reports, WINDOW_MS)

    def checkpoint(self, records: Sequence[Rec], at: int) -> str | None:
        lane = self.line.lane
        stamp = NOON + at * MINUTE
        numbered = [
            replace(record, offset=lane.expect + n, timestamp=stamp)
            for n, record in enumerate(records)
        ]
        self.line.take(Chunk(TOPIC, 0, numbered), stamp + DAY * MINUTE)
        sealed: Sealed = lane.seal(Output(lambda _server, _origin: None))
        lane.committed(sealed)
        return self.refusals.look(sealed, lane.heads)

    def until(
        self, end: int, good: Sequence[str], bad: Sequence[str], *, start: int = 1, every: int = 5
    ) -> tuple[int, str] | None:
        """Minute by minute; when it stopped, and why."""
        for at in range(start, end):
            now = minute(at, good, bad) if at % every == 0 or at == start else []
            records = now or [unsigned(message(0, 1, server="stranger"))]
            if why := self.checkpoint(records, at):
                return at, why
        return None


def metered(*, ratio: float = 0.5, reports: int = 1) -> Partition:
    """A partition in which everyone has reported once."""
    made = Partition(*FLEET, ratio=ratio, reports=reports)
    assert made.checkpoint(minute(0, FLEET, ()), 0) is None
    return made


@pytest.mark.parametrize(
    ("lost", "ratio", "stops"),
    [
        (0, 0.5, False),
        (15, 0.5, False),
        (16, 0.5, True),
        (30, 0.5, True),
        (30, 0.99, True),
        (30, 1.0, False),
        (SERVERS_MIN, 0.01, True),
        (SERVERS_MIN - 1, 0.01, False),
    ],
)
def test_more_than_the_ratio_of_servers(lost: int, ratio: float, stops: bool) -> None:
    """The first window holds the good reports of before; the second shows who is lost."""
    found = metered(ratio=ratio).until(40, FLEET[lost:], FLEET[:lost])
    assert (found is not None) is stops
    if found:
        assert found[0] == 30


def test_the_sentence_says_what_and_what_to_do() -> None:
    found = metered().until(40, FLEET[20:], FLEET[:20])
    assert found is not None
    _, why = found
    assert why == (
        "Partition 0: every report of 20 of 30 servers was refused for 15 minutes (72 unsigned),"
        " more than dead_letter_ratio_max (0.5): stopped at offset 263, nothing is lost."
        " `rackmeter dlq list` says why; mend that and start again, or set"
        " RACKMETER_DEAD_LETTER_RATIO_MAX higher (1 never stops)."
    )


def test_not_before_enough_reports_and_enough_time() -> None:
    found = metered(reports=400).until(200, [], FLEET, every=1)
    assert found is not None
    assert found[0] == 30
    found = metered(reports=1_000).until(200, [], FLEET, every=1)
    assert found is not None
    assert found[0] > 2 * WINDOW_MS // MINUTE


def test_a_flood_stops_nobody_who_is_taken() -> None:
    """Nine forgeries in the name of each server for each of its own reports, for an hour."""
    partition = metered(ratio=0.01)
    for at in range(1, 60):
        poison = minute(at, (), FLEET) * 9
        honest = minute(at, FLEET, ()) if at % 5 == 0 else []
        assert partition.checkpoint(poison + honest, at) is None
    assert partition.refusals.lost == 0


def test_who_was_never_metered_does_not_count() -> None:
    partition = metered(ratio=0.01)
    strangers = [f"x{n}" for n in range(1_000)]
    assert partition.until(60, FLEET, strangers) is None


def test_who_has_left_does_not_count() -> None:
    """A forger who names all servers that ever were."""
    partition = metered(ratio=0.01)
    staying = FLEET[:5]
    for at in range(1, 2 * DAY, 60):
        assert partition.checkpoint(minute(at, staying, ()), at) is None
    assert partition.until(2 * DAY + 60, staying, FLEET[5:], start=2 * DAY) is None


def test_repeated_reports_are_taken() -> None:
    """A topic that is read in again, with all the poison that was in it."""
    partition = metered(ratio=0.01)
    again = minute(0, FLEET, ())
    for at in range(1, 60):
        poison = minute(at, (), FLEET)
        assert partition.checkpoint(poison + (again if at % 5 == 0 else []), at) is None
    assert partition.line.counts.get("accepted", 0) == 0


def test_signed_reports_that_are_refused_are_not_taken() -> None:
    """A broken release of the agent: its counters fall, its signatures are right."""
    partition = metered()
    said = []
    for at in range(1, 31):
        falls = [message(0, at + 1, server=s, minute=at, value=1) for s in FLEET]
        said.append(partition.checkpoint(falls, at))
    assert [at for at, why in enumerate(said, 1) if why] == [30]
    assert "450 regression" in (said[-1] or "")


def test_keys_that_are_lost() -> None:
    partition = metered()
    partition.line.known = replace(partition.line.known, keyring=Keyring())
    found = partition.until(40, FLEET, [])
    assert found is not None
    assert "unknown_key" in found[1]


def test_a_window_starts_anew() -> None:
    """What was mended within a window is forgotten with it."""
    partition = metered()
    assert partition.until(20, [], FLEET, start=16) is None
    assert partition.until(60, FLEET, [], start=20) is None
    assert partition.refusals.lost == 0
