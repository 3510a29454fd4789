"""Which origin a collector goes on with, and what the first report of the next one says."""

from agents.integrate import Origin, from_now, integrate, numbered, report
from agents.sample import Reading, Sample
from rackmeter.collect.begin import begin
from tests.agents.words import WALL_MS

MINUTE, METERS = 60_000, frozenset({"port.rx_bytes"})
SERIES = ("port.rx_bytes", "sw-1/7")


def port(value: int, device: str = "sw-1/7@0") -> Sample:
    return Sample("port.rx_bytes", "sw-1/7", value, device)


def read(at_ms: int, up_ms: int, *samples: Sample) -> Reading:
    return Reading(WALL_MS + at_ms, up_ms, samples, METERS)


def counted(*readings: Reading) -> Origin:
    origin = from_now("s1.switch", "boot-1", "o1", readings[0])
    for one in readings:
        origin = numbered(integrate(origin, one, 15_000)[0], one)
    return origin


def test_the_first_look_counts_nothing() -> None:
    """What a port did before anybody asked belongs to nobody."""
    assert counted(read(0, 9_000, port(5_000))).sums[SERIES] == 0


def test_a_restarted_collector_goes_on() -> None:
    before = counted(read(0, 9_000, port(5_000)), read(MINUTE, 69_000, port(6_000)))
    later = read(2 * MINUTE, 129_000, port(6_500))
    assert begin(before, later, "s1.switch", "boot-1", "o2") is before


def test_what_passed_while_the_collector_booted_is_counted() -> None:
    before = counted(read(0, 900_000, port(5_000)), read(MINUTE, 960_000, port(6_000)))
    later = read(3 * MINUTE, 20_000, port(7_500))
    begun = begin(before, later, "s1.switch", "boot-2", "o2")
    after = numbered(integrate(begun, later, 15_000)[0], later)
    said = report(after)
    assert (said.origin, said.seq, said.value) == ("o2", 1, (1_500,))
    assert said.since_ms == WALL_MS + MINUTE, "its counters were zero at the last reading"
    assert [one.value for one in after.former] == [(1_000,)]


def test_a_leap_while_it_booted_is_still_no_usage() -> None:
    before = counted(read(0, 900_000, port(5_000)))
    later = read(MINUTE, 20_000, port(10**15))
    begun = begin(before, later, "s1.switch", "boot-2", "o2")
    after, notes = integrate(begun, later, 15_000)
    assert (after.sums[SERIES], len(notes)) == (0, 1)


def test_interrupted_counters_count_from_the_next_look_on() -> None:
    """What passed at the interruption nobody knows; a reset without one is counted from zero."""
    origin = counted(
        read(0, 0, port(5_000)),
        read(MINUTE, MINUTE, port(9_000, "sw-1/7@77")),
        read(2 * MINUTE, 2 * MINUTE, port(9_100, "sw-1/7@77")),
        read(3 * MINUTE, 3 * MINUTE, port(40, "sw-1/7@77")),
    )
    assert origin.sums[SERIES] == 100 + 40


def test_another_server_begins_anew() -> None:
    before = counted(read(0, 0, port(5_000)))
    begun = begin(before, read(MINUTE, MINUTE, port(6_000)), "s2.switch", "boot-1", "o2")
    assert (begun.origin, begun.sums) == ("o2", {})
