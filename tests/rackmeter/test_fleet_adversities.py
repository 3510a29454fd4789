"""Every adversity happens, and each is what it is said to be."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from pipeline.decode import decode
from pipeline.keyring import Keyring
from pipeline.names import NamesCache
from pipeline.records import Chunk
from rackmeter.fleet.adversity import ALL, Adversity
from rackmeter.fleet.breach import Breach, breached
from rackmeter.fleet.cast import ALL_AT_ONCE, parts
from rackmeter.fleet.clocks import Clock, told
from rackmeter.fleet.delivery import Route, posts
from rackmeter.fleet.diary import Diary, diary_of
from rackmeter.fleet.life import live
from rackmeter.fleet.log import FLOOD_MS, FLOOD_PER_REPORT, REPLAYS, Log, simulate
from rackmeter.fleet.plan import FleetPlan, machines
from rackmeter.fleet.poison import KINDS, RARE, Place, Sender, poisoned
from rackmeter.fleet.spelling import Spelling, spelled, upgraded
from rackmeter.fleet.upheaval import Upheaval, endured
from schemas.capture import Captured
from schemas.envelope import Key
from schemas.report import MESSAGE_BYTES_MAX, Report, encode
from schemas.validate import Refusal, explain
from schemas.verdict import Verdict
from tests.rackmeter.test_fleet_log import HOUR_MS, START_MS, log_of, record

PLACE = Place("production", "usage.reports")
KEY = Key("k.1", "s", b"s" * 32, 1_000)
SENDER = Sender(PLACE, KEY, Key("k.0", "s", b"o" * 32, 1_000, 1_001), Key("n.1", "n", b"n" * 32))
REPORT = Report(
    "s", "o1", START_MS, 7, START_MS + HOUR_MS, HOUR_MS, HOUR_MS + 9,
    ("cpu.busy_ms", "net.tx_bytes"), ("", "eth0"), (1_234, 56_789),
)  # fmt: skip


def plan(seed: int = 0, hours: int = 24, adversities: tuple[Adversity, ...] = ALL) -> FleetPlan:
    end_ms = START_MS + hours * HOUR_MS
    return FleetPlan(seed, ALL_AT_ONCE, START_MS, end_ms, adversities=adversities)


# --- all of them ----------------------------------------------------------------------------------


def test_a_fleet_of_nine_meets_everything() -> None:
    cast = parts(plan())
    for column, members in enumerate((Upheaval, Clock, Route, Spelling), start=1):
        assert {part[column] for part in cast} == set(members)


def test_an_ordinary_fleet_meets_nothing() -> None:
    assert {part[1:] for part in parts(plan(adversities=()))} == {
        (Upheaval.NONE, Clock.TRUE, Route.PROMPT, Spelling.CANONICAL)
    }


@pytest.mark.parametrize("adversities", [(), ALL, (Adversity.COUNTER, Adversity.DISORDER)])
def test_the_same_seed_gives_the_same_bytes(adversities: tuple[Adversity, ...]) -> None:
    assert simulate(plan(5, 6, adversities)) == simulate(plan(5, 6, adversities))


FAMILY = {
    Adversity.REPLAY: {Verdict.DUPLICATE},
    Adversity.CONFLICT: {Verdict.CONFLICT, Verdict.REGRESSION, Verdict.IMPLAUSIBLE},
    Adversity.RETRY: {Verdict.DUPLICATE},
    Adversity.DISORDER: {Verdict.LATE},
    Adversity.CLOCK: set(),
    Adversity.COUNTER: set(),
    Adversity.POISON: {
        Verdict.OVERSIZED, Verdict.MALFORMED, Verdict.FOREIGN, Verdict.UNSIGNED,
        Verdict.UNKNOWN_KEY, Verdict.FORGED,
    },
    Adversity.FLOOD: {Verdict.MALFORMED, Verdict.FORGED},
    Adversity.MIXED: {Verdict.UNKNOWN_VERSION},
}  # fmt: skip


@pytest.mark.parametrize("family", Adversity)
def test_a_family_shows(family: Adversity) -> None:
    """More of these than an ordinary fleet has; and clocks are corrected where they lie alone."""
    quiet = replace(plan(9, 24, (family,)), mishaps=0)
    truth = simulate(quiet).truth
    assert set(truth.verdicts) >= FAMILY[family] | {Verdict.ACCEPTED}
    if family in (Adversity.REPLAY, Adversity.RETRY, Adversity.CLOCK):
        assert not any(Verdict(verdict).refused for verdict in truth.verdicts)
    assert (truth.corrected > 0) is (family is Adversity.CLOCK)


def totals(log: Log) -> dict[tuple[str, str, str], object]:
    return {
        (one.server, one.meter, one.resource): (one.life, one.windows) for one in log.truth.series
    }


def test_a_replay_repeats_every_message_and_changes_nothing() -> None:
    others = tuple(one for one in ALL if one is not Adversity.REPLAY)
    once, again = log_of(1, others), log_of(1)
    assert len(again.messages) == (1 + REPLAYS) * len(once.messages)
    bodies = [message.value for message in once.messages]
    assert [message.value for message in again.messages] == (1 + REPLAYS) * bodies
    assert totals(again) == totals(once)
    assert again.truth.verdicts["accepted"] == once.truth.verdicts["accepted"]


def test_time_stamps_of_a_broker_never_fall() -> None:
    stamps = [message.ts_ms for message in log_of(1).messages]
    assert stamps == sorted(stamps)


def test_nine_of_ten_messages_of_a_flood_are_poison() -> None:
    flooded = simulate(plan(2, 24, (Adversity.FLOOD,)))
    middle_ms = START_MS + 12 * HOUR_MS
    inside = Counter(
        verdict.refused
        for message, verdict in zip(flooded.messages, flooded.verdicts, strict=True)
        if middle_ms <= message.ts_ms < middle_ms + FLOOD_MS
    )
    assert inside[True] == FLOOD_PER_REPORT * inside[False] > 500
    assert sum(verdict.refused for verdict in flooded.verdicts) == inside[True]


# --- messages -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*KINDS, *RARE])
def test_poison_is_refused_for_its_reason(kind: str) -> None:
    ring = Keyring([SENDER.key, SENDER.expired, SENDER.neighbour])
    for draw in range(5):
        expected, (key, body, made) = poisoned(kind, REPORT, SENDER, np.random.default_rng(draw))
        message = record(Captured(key, 2_000, tuple(made), body), 0, 1)
        batch, dead = decode(
            Chunk(PLACE.topic, 0, [message]), ring, NamesCache(),
            environment=PLACE.environment, partitions=1,
        )  # fmt: skip
        assert (len(batch), [letter.reason for letter in dead]) == (0, [expected])
        assert len(body) <= MESSAGE_BYTES_MAX + 1


@pytest.mark.parametrize("spelling", Spelling)
def test_every_spelling_says_the_same(spelling: Spelling) -> None:
    body = spelled(spelling, REPORT)
    assert explain(body) == REPORT
    agents_own = (Spelling.CANONICAL, Spelling.UPGRADED)
    assert (body == encode(REPORT)) is (spelling in agents_own)


def test_the_next_version_is_not_understood() -> None:
    refusal = explain(upgraded(REPORT))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Verdict.UNKNOWN_VERSION


@pytest.mark.parametrize("breach", Breach)
def test_a_breach_waits_until_it_cannot_be_taken_for_the_truth(breach: Breach) -> None:
    earlier = replace(REPORT, seq=6, value=(1, 1))
    assert (breached(breach, REPORT, []) is None) is (breach is not Breach.LEAP)
    wrong = breached(breach, REPORT, [earlier, REPORT])
    assert wrong is not None
    assert (wrong.origin, wrong.seq) == (REPORT.origin, REPORT.seq)
    assert wrong != REPORT


# --- machines -------------------------------------------------------------------------------------


@pytest.mark.parametrize("upheaval", Upheaval)
@pytest.mark.parametrize("seed", range(3))
def test_the_agent_tells_every_byte_that_passed(upheaval: Upheaval, seed: int) -> None:
    """Chains of what the real accumulator reported: they never fall, and end with the truth."""
    diary = endured(upheaval, plan(seed, 12), machines(plan(seed))[seed])
    highest: dict[tuple[str, str, str], int] = {}
    for note in diary.notes:
        report = note.report
        for meter, resource, value in zip(report.meter, report.resource, report.value, strict=True):
            chain = report.origin, meter, resource
            assert value >= highest.get(chain, 0)
            highest[chain] = value
    sums: Counter[tuple[str, str]] = Counter()
    for (_, meter, resource), value in highest.items():
        sums[meter, resource] += value
    assert sums == diary.used
    assert sums["net.tx_bytes", "eth0"] > 2**32


ORIGINS = {Upheaval.LOST_STATE: 18, Upheaval.RESTORED_IMAGE: 12, Upheaval.CRASHES: 9}


@pytest.mark.parametrize("upheaval", Upheaval)
def test_what_an_upheaval_leaves(upheaval: Upheaval) -> None:
    """Only lost states and boots begin origins; an image put back twice begins two of them."""
    diary = endured(upheaval, plan(4, 12), machines(plan(4))[0])
    assert len({note.report.origin for note in diary.notes}) == ORIGINS.get(upheaval, 1)
    names = {(note.report.meter, note.report.resource) for note in diary.notes}
    assert (len(names) > 1) is (upheaval is Upheaval.VANISHING), "shown until delivered"
    assert bool(diary.unsent) is (upheaval is Upheaval.CRASHES)
    ids = [(note.report.origin, note.report.seq) for note in diary.notes]
    assert len(ids) == len(set(ids))
    if upheaval is Upheaval.RESTORED_IMAGE:
        sent_again = Counter(note for note, _ in diary.again)
        assert max(sent_again.values()) == 2


# --- clocks and ways ------------------------------------------------------------------------------


def written(seed: int = 3) -> Diary:
    return diary_of(live(plan(seed), machines(plan(seed))[0]))


@pytest.mark.parametrize(
    ("clock", "least_ms", "most_ms"),
    [
        (Clock.TRUE, 0, 0),
        (Clock.AHEAD, 2 * HOUR_MS, 2 * HOUR_MS),
        (Clock.BEHIND, -960 * HOUR_MS, -960 * HOUR_MS),
        (Clock.BACKWARDS, -5 * HOUR_MS, 0),
        (Clock.STEPPING, -6 * HOUR_MS, 6 * HOUR_MS),
        (Clock.DRIFTING, -300_000, 300_000),
    ],
)
def test_only_the_wall_clock_lies(clock: Clock, least_ms: int, most_ms: int) -> None:
    true = written()
    lied = told(clock, np.random.default_rng(1), true)
    offs = [note.report.at_ms - note.read_ms for note in lied.notes]
    assert least_ms <= min(offs) <= max(offs) <= most_ms
    assert (len(set(offs)) > 1) is (least_ms != most_ms)
    assert [replace(note.report, at_ms=0, since_ms=0) for note in lied.notes] == [
        replace(note.report, at_ms=0, since_ms=0) for note in true.notes
    ]
    assert lied.used == true.used


@pytest.mark.parametrize("route", Route)
def test_a_way_loses_no_total(route: Route) -> None:
    diary = endured(Upheaval.CRASHES, plan(3), machines(plan(3))[0])
    sent = posts(route, np.random.default_rng(2), diary, 100)
    arrived = {post.note for post in sent}
    assert diary.lasts <= arrived
    assert all(post.append_ms >= post.sent_ms >= diary.notes[post.note].read_ms for post in sent)
    assert [post.append_ms for post in sent] == sorted(post.append_ms for post in sent)
    in_order = [post.note for post in sent if post.over < 0]
    assert (in_order == sorted(set(in_order))) is (route is Route.SPOOLED)
