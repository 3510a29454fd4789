"""Retries: dated and judged as when their letters came, and only where the ledger knows them."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from pipeline.admit import Rules
from pipeline.keyring import Keyring
from pipeline.lanes import Intake, Taken
from pipeline.retries import RETRY_HEADER, Release, Released, Retry, retry_headers, retry_of
from schemas.envelope import Key
from tests.pipeline.test_lanes import (
    CREATE_TIME,
    LOG_APPEND_TIME,
    MINUTE,
    NOON,
    SECRET,
    Line,
    Rec,
    chunk,
    intake,
    message,
)

HOUR = 60 * MINUTE
LATER = NOON + 30 * HOUR
"""When letters are retried."""


def known(key: Key, **changes: object) -> Intake:
    return replace(intake(), keyring=Keyring([key]), **changes)  # type: ignore[arg-type]


def releasing(**letters: Released) -> tuple[Release, list[Retry]]:
    """A ledger whose letters are named ``_offset``, and what it was asked."""
    asked: list[Retry] = []

    def release(_topic: UUID, _part: int, retries: Sequence[Retry]) -> list[Released | None]:
        asked.extend(retries)
        return [letters.get(f"_{retry.offset}") for retry in retries]

    return release, asked


def again(record: Rec, offset: int, *, by_broker: bool, part: int = 0) -> Rec:
    """A letter as it is sent again: a topic that dates gives it another time."""
    return replace(
        record,
        offset=offset,
        headers=retry_headers(record.headers, part, record.offset),
        timestamp=LATER if by_broker else record.timestamp,
        timestamp_type=LOG_APPEND_TIME if by_broker else CREATE_TIME,
    )


@pytest.mark.parametrize(
    ("headers", "place"),
    [
        ([], None),
        ([(RETRY_HEADER, b"1/67")], (1, 67)),
        ([("kid", b"k"), (RETRY_HEADER, b"0/0")], (0, 0)),
        ([(RETRY_HEADER, b"1/67"), ("kid", b"k")], None),
        ([(RETRY_HEADER, b"1/-67")], None),
        ([(RETRY_HEADER, b"1/" + b"9" * 19)], None),
        ([(RETRY_HEADER, "1/٣".encode())], None),
        ([(RETRY_HEADER, b"")], None),
        ([(RETRY_HEADER, None)], None),
    ],
)
def test_a_retry_names_its_letter_last(
    headers: list[tuple[str, bytes]], place: tuple[int, int] | None
) -> None:
    assert retry_of(headers) == place


@pytest.mark.parametrize("by_broker", [True, False])
@pytest.mark.parametrize("valid_from", [0, NOON + 20 * HOUR])
def test_it_lands_where_it_would_have(by_broker: bool, valid_from: int) -> None:
    """Even with a key that was registered after it came."""
    letter = replace(message(0, 5), timestamp_type=int(by_broker))
    release, asked = releasing(_0=Released(letter.timestamp, by_broker, LATER))
    line = Line(base=9, known=known(Key("k-s1", "s1", SECRET, valid_from), release=release))
    line.take(chunk(again(letter, 9, by_broker=by_broker)), LATER)
    assert line.counts == {"accepted": 1}
    assert line.lane.heads["s1"].chains.at_ms == NOON + 5 * MINUTE
    assert line.lane.heads["s1"].flagged == ""
    [retry] = asked
    assert (retry.offset, retry.headers) == (0, letter.headers)
    assert (retry.key, retry.value) == (letter.key, letter.value)


@pytest.mark.parametrize("flood", [[], [message(10, 9, server="s9")]])
def test_without_a_letter_it_is_a_message_of_its_own_time(flood: list[Rec]) -> None:
    """Whoever writes the header gains nothing by it."""
    letter = replace(message(0, 5), timestamp_type=LOG_APPEND_TIME)
    release, asked = releasing()
    for known_to_ledger in (release, None):
        line = Line(base=9, known=replace(intake(), release=known_to_ledger))
        line.take(chunk(again(letter, 9, by_broker=True), *flood), LATER)
        assert line.counts.pop("accepted") == 1
        assert line.lane.heads["s1"].chains.at_ms == LATER - 5
        assert line.lane.heads["s1"].flagged == "clock"
    assert len(asked) == 1


@pytest.mark.parametrize(("offset", "part"), [(9, 0), (10, 0), (0, 1)])
def test_a_letter_lies_before_it_in_the_same_partition(offset: int, part: int) -> None:
    release, asked = releasing(_0=Released(NOON, True, LATER))
    line = Line(base=9, known=replace(intake(), release=release))
    line.take(chunk(again(replace(message(0, 5), offset=offset), 9, by_broker=True, part=part)))
    assert asked == []


def test_a_key_that_had_ended_stays_ended() -> None:
    letter = message(0, 5)
    release, _ = releasing(_0=Released(letter.timestamp, True, LATER))
    ended = Key("k-s1", "s1", SECRET, 0, letter.timestamp)
    line = Line(base=9, known=known(ended, release=release))
    line.take(chunk(again(letter, 9, by_broker=True)), LATER)
    assert line.counts == {"unknown_key": 1}
    [dead] = line.lane.out.dead
    assert (dead.offset, dead.append_ms, dead.by_broker) == (9, LATER, True)
    assert retry_of(dead.headers) == (0, 0)


def test_a_key_that_is_looked_up_first() -> None:
    """The snapshot at hand lacks it, as a worker's does until it meets a report of that key."""
    letter = message(0, 5)
    release, _ = releasing(_0=Released(letter.timestamp, True, LATER))
    fresh = known(Key("k-s1", "s1", SECRET, LATER - HOUR), release=release)
    stale = replace(fresh, keyring=Keyring(), lookup=lambda _kids: fresh)
    line = Line(base=9, known=stale)
    line.take(chunk(again(letter, 9, by_broker=True)), LATER)
    assert line.counts == {"accepted": 1}


@pytest.mark.parametrize("by_broker", [True, False])
def test_after_the_hour_there_is_room(by_broker: bool) -> None:
    """The server has been silent since it showed too much; the hour is that of the release."""
    rules = Rules(series_per_hour=1)
    wide = replace(message(1, 2, meter2="net.rx_bytes"), timestamp_type=int(by_broker))
    line = Line(known=intake(rules=rules))
    line.take(chunk(replace(message(0, 1), timestamp_type=int(by_broker)), wide))
    assert line.counts == {"accepted": 1, "excessive": 1}
    for released_ms, verdict in [(NOON + 20 * MINUTE, "excessive"), (LATER, "accepted")]:
        release, _ = releasing(_1=Released(wide.timestamp, by_broker, released_ms))
        line.known = intake(rules=rules, release=release)
        before = line.counts.get(verdict, 0)
        line.take(chunk(again(wide, line.lane.expect, by_broker=by_broker)), LATER)
        assert line.counts[verdict] == before + 1


def test_among_others_of_its_chunk() -> None:
    """Each is dated by its own: honest neighbours, a retry, one that only says so."""
    letters = [replace(message(n, 5, server=f"s{n}"), timestamp_type=1) for n in (1, 2, 3)]
    release, _ = releasing(_2=Released(letters[1].timestamp, True, LATER))
    line = Line(base=10, known=replace(intake("s1", "s2", "s3"), release=release))
    plain = replace(letters[0], offset=10, timestamp=LATER)
    records = [plain, *(again(one, 9 + one.offset, by_broker=True) for one in letters[1:])]
    assert line.take(chunk(*records), LATER) is Taken.METERED
    at = {server: head.chains.at_ms for server, head in line.lane.heads.items()}
    assert at == {"s1": LATER - 5, "s2": NOON + 5 * MINUTE, "s3": LATER - 5}
