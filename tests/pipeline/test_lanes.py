"""Lanes: a chunk is metered exactly where the one before ended, and every report is dated."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import numpy as np
import pytest

from pipeline.clocks import reading_times
from pipeline.heads import Output
from pipeline.keyring import Keyring
from pipeline.lanes import GAP_TRIES_MAX, Intake, Lane, Taken
from pipeline.names import NamesCache
from pipeline.partition import partition_of
from pipeline.records import Chunk
from pipeline.shelves import Heads
from schemas.envelope import Key, headers
from schemas.report import Report, encode
from schemas.verdict import Verdict
from tests.pipeline.world import batch_of, reading

TOPIC = "usage.reports"
ENVIRONMENT = "test"
SECRET = b"s" * 32
NOON = 1_772_366_400_000
MINUTE = 60_000
CREATE_TIME, LOG_APPEND_TIME = 0, 1
NOW = NOON + 24 * 60 * MINUTE


@dataclass(frozen=True)
class Rec:
    """A message of the topic."""

    offset: int
    value: bytes | None
    key: bytes | None = b"s1"
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int = NOON
    timestamp_type: int | None = CREATE_TIME


def report(
    seq: int,
    *,
    server: str = "s1",
    origin: str = "o1",
    value: int | None = None,
    minute: int | None = None,
    since_minute: int = 0,
    meter2: str = "",
) -> Report:
    """Unless said otherwise: read in the minute of its seq, with 100 bytes a minute."""
    minute = seq if minute is None else minute
    up = (minute - since_minute) * MINUTE
    meters = ("net.tx_bytes", meter2) if meter2 else ("net.tx_bytes",)
    counter = seq * 100 if value is None else value
    return Report(
        server, origin, NOON + since_minute * MINUTE, seq, NOON + minute * MINUTE, up, up + 5,
        meters, ("eth0",) * len(meters), (counter,) * len(meters),
    )  # fmt: skip


def message(offset: int, seq: int, *, kid: str = "", **changes: int | str) -> Rec:
    made = report(seq, **changes)  # type: ignore[arg-type]
    body = encode(made)
    key = Key(kid or f"k-{made.server}", made.server, SECRET)
    signed = headers(made, body, key, ENVIRONMENT, TOPIC)
    return Rec(offset, body, made.server.encode(), signed, made.at_ms + 5)


def chunk(*records: Rec) -> Chunk:
    return Chunk(TOPIC, 0, records)


def run(first: int, last: int) -> Chunk:
    """Offsets first … last, offset n holding the report with seq n + 1."""
    return chunk(*(message(n, n + 1) for n in range(first, last + 1)))


def intake(*servers: str, **changes: object) -> Intake:
    keys = [Key(f"k-{server}", server, SECRET) for server in servers or ("s1",)]
    plain = Intake(Keyring(keys), {}, NamesCache(), ENVIRONMENT, 1)
    return replace(plain, **changes)  # type: ignore[arg-type]


@dataclass
class Line:
    """A lane with its intake."""

    base: int = 0
    known: Intake = field(default_factory=intake)
    lane: Lane = field(init=False)

    def __post_init__(self) -> None:
        out = Output(lambda _server, _origin: None)
        self.lane = Lane(UUID(int=1), 0, UUID(int=2), self.base, 0, Counter(), Heads(), out)

    def take(self, taken: Chunk, now_ms: int = NOW) -> Taken:
        return self.lane.take(taken, self.known, now_ms)

    @property
    def counts(self) -> dict[str, int]:
        return dict(self.lane.out.counts)


# -- where a chunk begins --------------------------------------------------------------------------


def test_chunks_follow_each_other() -> None:
    line = Line()
    assert line.take(run(0, 3)) is Taken.METERED
    assert line.take(run(4, 5)) is Taken.METERED
    assert (line.lane.base, line.lane.expect) == (0, 6)
    assert line.counts == {"accepted": 6}


@pytest.mark.parametrize(("first", "last"), [(0, 0), (2, 3), (3, 3), (0, 3)])
def test_what_is_known_is_old(first: int, last: int) -> None:
    """In flight from before a seek: not even counted as duplicates."""
    line = Line()
    line.take(run(0, 3))
    assert line.take(run(first, last)) is Taken.OLD
    assert line.counts == {"accepted": 4}


@pytest.mark.parametrize("first", [0, 1, 3])
def test_an_overlap_is_trimmed(first: int) -> None:
    line = Line()
    line.take(run(0, 3))
    assert line.take(run(first, 6)) is Taken.METERED
    assert line.counts == {"accepted": 7}
    assert line.lane.expect == 7


def test_a_chunk_from_further_on_is_not_taken() -> None:
    line = Line(base=4)
    assert line.take(run(6, 9)) is Taken.AHEAD
    assert (line.lane.expect, line.counts, len(line.lane.heads)) == (4, {}, 0)
    assert line.take(run(4, 9)) is Taken.METERED
    assert line.counts == {"accepted": 6}


def test_any_number_of_chunks_may_be_in_flight_after_a_seek() -> None:
    """Each begins further on than the one before; none of them says that the log has a gap."""
    line = Line()
    for n in range(1, 5 * GAP_TRIES_MAX):
        assert line.take(run(n, n)) is Taken.AHEAD
    assert line.take(run(0, 3)) is Taken.METERED


def test_offsets_that_hold_no_report_are_passed_over() -> None:
    """Markers of a transaction take up offsets: the same chunk comes however often it is sought."""
    line = Line()
    line.take(run(0, 2))
    for _ in range(GAP_TRIES_MAX):
        assert line.take(run(4, 6)) is Taken.AHEAD
    assert line.take(run(4, 6)) is Taken.OVER_GAP
    assert line.lane.expect == 7
    assert line.counts == {"accepted": 6}


def test_offsets_missing_inside_a_chunk_are_no_gap() -> None:
    line = Line()
    assert line.take(chunk(message(0, 1), message(2, 2), message(9, 3))) is Taken.METERED
    assert line.lane.expect == 10


def test_a_trimmed_chunk_may_begin_after_a_hole() -> None:
    line = Line()
    line.take(run(0, 1))
    assert line.take(chunk(message(1, 2), message(5, 6))) is Taken.METERED
    assert line.counts == {"accepted": 3}


def test_what_a_commit_forgets_and_keeps() -> None:
    line = Line()
    sent = [message(0, 1), message(1, 2), Rec(2, b"junk")]
    line.take(chunk(*sent))
    assert line.lane.pending_bytes == sum(len(r.value or b"") for r in sent)
    assert line.lane.heads.dirty() == {"s1": NOON + 2 * MINUTE}
    fresh = Output(lambda _server, _origin: None)
    sealed = line.lane.seal(fresh)
    assert (line.lane.base, line.lane.sealed, line.lane.expect) == (0, 3, 3)
    assert (sealed.base, sealed.expect, sealed.touched) == (0, 3, {"s1": NOON + 2 * MINUTE})
    assert fresh.before is sealed.out
    line.lane.committed(sealed)
    assert line.lane.out.before is None
    assert (line.lane.base, line.lane.expect, line.lane.out) == (3, 3, fresh)
    assert (line.lane.pending_bytes, line.lane.heads.dirty()) == (0, {})
    assert line.lane.counts == {"accepted": 2, "malformed": 1}
    line.take(run(3, 3))
    line.lane.committed(line.lane.seal(Output(lambda _server, _origin: None)))
    assert line.lane.counts == {"accepted": 3, "malformed": 1}


# -- dead letters ----------------------------------------------------------------------------------


def test_dead_letters_carry_the_offset_of_their_message() -> None:
    """Those that admission refuses and those that the chains refuse, after a trim."""
    line = Line(known=intake("s1", "s2"))
    line.take(run(0, 1))
    forged = replace(message(4, 3), headers=message(4, 3, value=1).headers)
    line.take(
        chunk(
            message(1, 2),
            Rec(2, b"junk"),
            message(3, 1, server="s2"),
            forged,
            message(5, 3, value=150),
            message(6, 2, value=201),
            replace(message(7, 3), headers=()),
            replace(message(8, 3), key=b"s2"),
            message(9, 3),
            message(10, 1, server="s2", value=2**62),
            Rec(11, None),
        )
    )
    assert {(d.offset, d.reason.value) for d in line.lane.out.dead} == {
        (2, "malformed"), (4, "forged"), (5, "regression"), (6, "conflict"), (7, "unsigned"),
        (8, "foreign"), (10, "conflict"), (11, "malformed"),
    }  # fmt: skip
    assert line.counts == {
        "accepted": 4, "malformed": 2, "forged": 1, "regression": 1, "conflict": 2, "unsigned": 1,
        "foreign": 1,
    }  # fmt: skip
    assert sum(line.counts.values()) == line.lane.expect


def test_a_dead_letter_is_the_whole_message() -> None:
    line = Line()
    sent = message(0, 1, value=2**62)
    line.take(chunk(sent))
    [letter] = line.lane.out.dead
    assert (letter.payload, letter.key, letter.append_ms) == (sent.value, sent.key, sent.timestamp)
    assert letter.headers == tuple(sent.headers)
    assert letter.reason is Verdict.IMPLAUSIBLE
    assert "net.tx_bytes[eth0] gained" in letter.detail


def test_a_refused_report_touches_nothing() -> None:
    line = Line()
    line.take(chunk(message(0, 1), message(1, 2, value=5)))
    assert line.lane.heads.dirty() == {"s1": NOON + MINUTE}


# -- keys that were not known yet ------------------------------------------------------------------


def test_an_unknown_key_is_looked_up_once_a_chunk() -> None:
    asked: list[set[str]] = []

    def lookup(kids: set[str]) -> Intake:
        asked.append(kids)
        return intake("s1", "s2")

    line = Line(known=intake("s1", lookup=lookup))
    line.take(chunk(message(0, 1), message(1, 1, server="s2"), message(2, 2, server="s2")))
    assert asked == [{"k-s2"}]
    assert line.counts == {"accepted": 3}


def test_a_key_that_nobody_knows_is_a_dead_letter() -> None:
    def lookup(_kids: set[str]) -> Intake:
        return intake("s1")

    line = Line(known=intake("s1", lookup=lookup))
    line.take(chunk(message(0, 1), message(1, 2, kid="nobody's")))
    assert line.counts == {"accepted": 1, "unknown_key": 1}


def test_an_expired_key_costs_no_look_up() -> None:
    def lookup(_kids: set[str]) -> Intake:
        raise AssertionError("not to be asked")

    expired = Keyring([Key("k-s1", "s1", SECRET, valid_to_ms=NOON)])
    line = Line(known=intake(keyring=expired, lookup=lookup))
    line.take(run(0, 1))
    assert line.counts == {"unknown_key": 2}


def test_no_look_up_for_what_is_refused_otherwise() -> None:
    def lookup(_kids: set[str]) -> Intake:
        raise AssertionError("not to be asked")

    line = Line(known=intake("s1", lookup=lookup))
    line.take(chunk(message(0, 1), Rec(1, b"junk"), replace(message(2, 2), headers=())))
    assert line.counts == {"accepted": 1, "malformed": 1, "unsigned": 1}


# -- when a report was read ------------------------------------------------------------------------

APPEND = NOON + 60 * MINUTE
TOLERANCE = 30_000


@pytest.mark.parametrize(
    ("why", "at", "waited", "by_broker", "dated", "flagged"),
    [
        ("an honest clock", APPEND - 5, 5, True, APPEND - 5, False),
        ("spooled for a month", APPEND - 30 * 86_400_000, 30 * 86_400_000, True,
         APPEND - 30 * 86_400_000, False),
        ("within the tolerance: the agent's own clock", APPEND - 30_005, 5, True, APPEND - 30_005,
         False),
        ("a millisecond beyond it", APPEND - 30_006, 5, True, APPEND - 5, True),
        ("two hours ahead", APPEND + 7_200_000, 5, True, APPEND - 5, True),
        ("forty days behind", APPEND - 40 * 86_400_000, 5, True, APPEND - 5, True),
        ("a boot clock that was read after it was sent", APPEND, -(2**50), True, APPEND, False),
        ("the same, and a date in the far future", APPEND + 2**50, -(2**50), True, APPEND, True),
        ("longer ago than the epoch", 0, 2**52, True, 0, False),
        ("unverified: an honest clock", APPEND - 5, 5, False, APPEND - 5, False),
        ("unverified: forty days behind is believed", APPEND - 40 * 86_400_000, 5, False,
         APPEND - 40 * 86_400_000, False),
        ("unverified: later than its own message", APPEND + 30_001, 5, False, APPEND, True),
        ("unverified: within the tolerance", APPEND + 30_000, 5, False, APPEND + 30_000, False),
    ],
)  # fmt: skip
def test_reading_times(
    why: str, at: int, waited: int, by_broker: bool, dated: int, flagged: bool
) -> None:
    batch, _ = batch_of([reading(at, [1], seq=1)])
    up = 2**51
    batch = replace(
        batch,
        append_ms=np.array([APPEND]),
        at_up_ms=np.array([up]),
        sent_up_ms=np.array([up + waited]),
    )
    got, corrected = reading_times(batch, np.array([by_broker]), TOLERANCE, NOW)
    assert (got.tolist(), corrected.tolist()) == ([dated], [flagged]), why


def test_a_producer_cannot_date_the_future() -> None:
    """Reading and message both claim the year 5138: neither moves anything past now."""
    line = Line()
    liar = message(0, 1, minute=10**9)
    line.take(chunk(replace(liar, timestamp=report(1, minute=10**9).at_ms)), now_ms=NOW)
    assert line.lane.heads["s1"].chains.at_ms == NOW
    assert line.lane.heads["s1"].flagged == "clock"
    assert line.lane.append_ms == NOW


def test_the_broker_may() -> None:
    """Its clock is the reference: nothing of it is cut, so that a replay meters the same."""
    line = Line()
    sent = replace(message(0, 1), timestamp=NOW + 7, timestamp_type=LOG_APPEND_TIME)
    line.take(chunk(sent), now_ms=NOW)
    assert line.lane.append_ms == NOW + 7
    assert line.lane.heads["s1"].chains.at_ms == NOW + 2


def test_append_time_never_goes_back() -> None:
    line = Line()
    line.take(chunk(replace(message(0, 1), timestamp=NOON + 9)))
    line.take(chunk(replace(message(1, 2), timestamp=NOON + 3)))
    assert line.lane.append_ms == NOON + 9


def test_a_corrected_clock_is_counted_as_accepted_and_flagged() -> None:
    line = Line()
    ahead = replace(message(0, 1, minute=120), timestamp=NOON + MINUTE)
    line.take(chunk(ahead))
    assert line.counts == {"accepted": 1}
    assert line.lane.heads["s1"].flagged == "clock"
    assert line.lane.heads.dirty() == {"s1": NOON + MINUTE}


def test_mixed_time_stamps_in_one_chunk() -> None:
    """A topic whose setting was changed: each record says which kind its own is."""
    line = Line(known=intake("s1", "s2"))
    late = NOON + 90 * MINUTE
    by_broker = replace(message(0, 1), timestamp=late, timestamp_type=LOG_APPEND_TIME)
    by_agent = replace(message(1, 1, server="s2"), timestamp=late)
    line.take(chunk(by_broker, by_agent))
    assert line.lane.heads["s1"].chains.at_ms == NOON + 90 * MINUTE - 5
    assert line.lane.heads["s2"].chains.at_ms == NOON + MINUTE


def test_a_report_on_the_wrong_partition_is_foreign() -> None:
    line = Line(known=intake("s1", partitions=4))
    assert partition_of(b"s1", 4) != 0
    line.take(run(0, 0))
    assert line.counts == {"foreign": 1}
