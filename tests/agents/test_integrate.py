"""Raw readings in, sums out: one case, one sentence why."""

from dataclasses import replace

import pytest

from agents.integrate import from_now, integrate, numbered, report, settled, shown_value
from agents.sample import Reading, Sample
from agents.state import decode, encode
from schemas.report import MESSAGE_BYTES_MAX, NAME_CHARS_MAX, SERIES_MAX, VALUE_MAX
from schemas.report import encode as encode_report
from tests.agents.words import (
    OBSERVED_MS,
    WALL_MS,
    counted,
    cpu,
    disk,
    gpu,
    held,
    nic,
    reading,
)

MINUTE = 60_000
MIB = 2**20

COUNTERS: list[tuple[list[list[Sample]], int, str]] = [
    ([[nic(500)]], 500, "at boot the kernel's counter was zero"),
    ([[nic(500)], [nic(700)]], 700, "differences add up"),
    ([[nic(500)], [nic(500)]], 500, "no traffic, no usage"),
    ([[nic(500)], [nic(30)]], 530, "a smaller value counts from a reset"),
    ([[nic(500)], [nic(0)], [nic(8)]], 508, "a reset seen at zero"),
    ([[nic(500)], [nic(700, ifindex=3)]], 1200, "replaced under its name: counts from its birth"),
    ([[nic(500)], [nic(20, ifindex=3)]], 520, "replaced, and smaller"),
    ([[nic(500)], [], [nic(900)]], 900, "gone and back, the same device: the difference"),
    ([[nic(500)], [], [nic(900, ifindex=9)]], 1400, "gone and back as a new device"),
    ([[nic(2**32 - 10, bits=32)], [nic(5, bits=32)]], 2**32 + 5, "a 32-bit source wraps"),
    ([[nic(1000, bits=32)], [nic(5, bits=32)]], 1005, "too far for a wrap: a reset"),
    ([[nic(2**32 - 10)], [nic(5)]], 2**32 - 5, "a 64-bit source does not wrap: a reset"),
    ([[nic(2**32 + 7, bits=32)], [nic(5, bits=32)]], 2**32 + 12, "was past 32 bits: not a wrap"),
    ([[nic(500)], [nic(10**15)], [nic(600)]], 600, "a leap no NIC can make is noise"),
    ([[nic(500)], [nic(2**64)], [nic(2**64)]], 500, "noise that stays is never believed"),
    ([[nic(0)], [nic(10**13)], [nic(10**13)]], 10**13, "believed once two minutes allow it"),
    ([[nic(500)], [nic(10**15)], [nic(30)]], 530, "noise, then a reset"),
]


@pytest.mark.parametrize(("steps", "expected", "why"), COUNTERS)
def test_bytes(steps: list[list[Sample]], expected: int, why: str) -> None:
    readings = [reading(MINUTE * (i + 1), *samples) for i, samples in enumerate(steps)]
    assert counted(*readings).sums["net.rx_bytes", "eth0"] == expected, why


def test_a_renamed_nic_takes_its_counter_along() -> None:
    origin = counted(reading(1000, nic(500, "eth0")), reading(2000, nic(700, "wan0")))
    assert origin.sums == {("net.rx_bytes", "eth0"): 500, ("net.rx_bytes", "wan0"): 200}


def test_two_nics_that_swap_names() -> None:
    before = reading(1000, nic(500, "a", 2), nic(9000, "b", 3))
    after = reading(2000, nic(9001, "a", 3), nic(502, "b", 2))
    origin = counted(before, after)
    assert origin.sums == {("net.rx_bytes", "a"): 501, ("net.rx_bytes", "b"): 9002}


def test_a_nic_metered_from_now_on_starts_at_zero() -> None:
    """It was there, left out by configuration: nobody asked for what it did before."""
    origin = counted(
        reading(1000, nic(500), others_hi=7), reading(2000, nic(600), nic(10**6, "eth7", 7))
    )
    assert origin.sums["net.rx_bytes", "eth7"] == 0


def test_a_nic_plugged_in_starts_at_its_birth() -> None:
    origin = counted(reading(1000, nic(500)), reading(2000, nic(600), nic(40, "usb0", 8)))
    assert origin.sums["net.rx_bytes", "usb0"] == 40


def test_a_nic_seen_late_is_not_new_because_a_younger_one_left() -> None:
    origin = counted(
        reading(1000, nic(500), others_hi=9),
        reading(2000, nic(600), others_hi=2),
        reading(3000, nic(600), nic(10**6, "eth7", 7)),
    )
    assert origin.sums["net.rx_bytes", "eth7"] == 0


def test_an_origin_without_a_past_starts_from_here() -> None:
    first = reading(5000, nic(500), cpu(777), others_hi=3)
    origin = counted(
        first, reading(6000, nic(650), cpu(780)), origin=from_now("s", "b", "o", first)
    )
    assert origin.since_ms == WALL_MS + 5000
    assert origin.sums == {("net.rx_bytes", "eth0"): 150, ("cpu.busy_ms", ""): 3}


def test_cpu_time_corrected_downwards_is_not_a_reset() -> None:
    origin = counted(reading(1000, cpu(500)), reading(2000, cpu(490)), reading(3000, cpu(510)))
    assert origin.sums["cpu.busy_ms", ""] == 510


def test_used_space_fills_the_time_until_the_next_look() -> None:
    """1 byte for 2**20 × 1000 ms is 1 MiB·s, also in three parts that divide badly."""
    looks = [reading(1000, disk(100 * MIB)), reading(11_000, disk(40 * MIB))]
    origin = counted(*looks, reading(11_500, disk(7 * MIB)))
    assert shown_value(origin, ("disk.used_mib_s", "/")) == 1_020


def test_small_remainders_are_kept() -> None:
    """1 byte for 2**20 × 1000 looks of 1 ms would be 1 MiB·s; here as three parts that divide
    badly.
    """
    third = 2**20 * 1000 // 3
    looks = [reading(0, disk(1)), reading(third, disk(1)), reading(2 * third, disk(1))]
    origin = counted(*looks, reading(2**20 * 1000, disk(1)))
    assert shown_value(origin, ("disk.used_mib_s", "/")) == 1


def test_space_is_used_while_no_agent_runs_or_the_machine_sleeps() -> None:
    hour = 3_600_000
    origin = counted(reading(0, disk(MIB)), reading(hour, disk(MIB)))
    assert shown_value(origin, ("disk.used_mib_s", "/")) == 3600


def test_an_unmounted_disk_is_not_counted_while_it_is_away() -> None:
    looks = [reading(0, disk(MIB, "/d")), reading(10_000), reading(90_000, disk(MIB, "/d"))]
    origin = counted(*looks, reading(95_000, disk(MIB, "/d")))
    assert shown_value(origin, ("disk.used_mib_s", "/d")) == 15


def test_gpu_time_is_utilisation_times_time() -> None:
    looks = [reading(0, gpu(90), held(1)), reading(999, gpu(33), held(1))]
    origin = counted(*looks, reading(2000, gpu(33), held(0)))
    assert shown_value(origin, ("gpu.busy_ms", "GPU-1")) == (33 * 999 + 33 * 1001) // 100
    assert shown_value(origin, ("gpu.alloc_ms", "GPU-1")) == 999


def test_gpu_time_that_nobody_watched_is_not_counted() -> None:
    origin = counted(reading(0, gpu(50), held(1)), reading(OBSERVED_MS + 1, gpu(100), held(1)))
    assert origin.sums["gpu.busy_ms", "GPU-1"] == origin.sums["gpu.alloc_ms", "GPU-1"] == 0


@pytest.mark.parametrize(("elapsed_ms", "busy_ms"), [(OBSERVED_MS, 15_000), (OBSERVED_MS + 1, 0)])
def test_the_longest_interval_that_counts_as_watched(elapsed_ms: int, busy_ms: int) -> None:
    """The same whether looks were rare, the agent was restarted or the machine slept."""
    origin = counted(reading(0, gpu(100)), reading(elapsed_ms, gpu(100)))
    assert shown_value(origin, ("gpu.busy_ms", "GPU-1")) == busy_ms


def test_a_machine_that_sleeps() -> None:
    """The boot clock runs on: space stays used, no GPU time is counted, counters stand still."""
    night = 8 * 3_600_000
    before = reading(1000, nic(500), cpu(70), disk(MIB), gpu(100), held(1))
    woken = reading(1000 + night, nic(500), cpu(70), disk(MIB), gpu(100), held(1))
    after = reading(2000 + night, nic(600), cpu(75), disk(MIB), gpu(100), held(1))
    origin = counted(before, woken, after)
    assert {meter: shown_value(origin, (meter, name)) for meter, name in origin.shown} == {
        "net.rx_bytes": 600,
        "cpu.busy_ms": 75,
        "disk.used_mib_s": night // 1000 + 1,
        "gpu.busy_ms": 1000,
        "gpu.alloc_ms": 1000,
    }


def test_a_gpu_driver_that_is_loaded_again_in_more_than_the_limit() -> None:
    looks = [reading(0, gpu(100)), reading(1000, gpu(100)), reading(9000), reading(16_001, gpu(80))]
    origin = counted(*looks, reading(17_001, gpu(80)))
    assert shown_value(origin, ("gpu.busy_ms", "GPU-1")) == 1000 + 800


def test_a_gpu_that_was_seen_away_is_not_counted_until_it_is_back() -> None:
    looks = [reading(0, held(1)), reading(1000, held(1)), reading(2000), reading(9000, held(1))]
    origin = counted(*looks, reading(10_000, held(1)))
    assert shown_value(origin, ("gpu.alloc_ms", "GPU-1")) == 2000


def test_gpu_time_is_the_boot_clock_whatever_the_wall_says() -> None:
    first = reading(1000, gpu(100))
    stepped = Reading(WALL_MS + 10**9, 3000, (gpu(100),), first.meters)
    assert shown_value(counted(first, stepped), ("gpu.busy_ms", "GPU-1")) == 2000


def test_a_look_at_the_gpus_alone_ends_no_other_level() -> None:
    origin = counted(reading(0, disk(MIB), gpu(0)))
    look = Reading(WALL_MS + 500, 500, (gpu(100),), frozenset({"gpu.busy_ms", "gpu.alloc_ms"}))
    origin, _ = integrate(origin, look, OBSERVED_MS)
    origin = counted(reading(1000, disk(MIB), gpu(0)), origin=origin)
    assert shown_value(origin, ("disk.used_mib_s", "/")) == 1
    assert shown_value(origin, ("gpu.busy_ms", "GPU-1")) == 500


SHOWN = [
    ("ab+ a+ a", "ab ab a", "once more, with its final sum; then the broker has it"),
    ("ab a+ a", "ab ab a", "what a lost report said, the next one says"),
    ("ab+ a a a+ a", "ab ab ab ab a", "until a report with its final sum is delivered"),
    ("ab+ a a ab ab", "ab ab ab ab ab", "back before anything was delivered"),
    ("ab+ a+ a ab+ ab", "ab ab a ab ab", "gone for a while, and back"),
    ("ab+ a ab+ a a+ a", "ab ab ab ab ab a", "delivered between two absences: not its final sum"),
    ("abc+ ab a+ a", "abc abc abc a", "each has its own final sum"),
    ("abc+ ab+ a a", "abc abc ab ab", "delivered for one is not delivered for the other"),
    ("a+ + +", "a a ", "the last one too"),
]
"""Steps: the volumes that a report's reading sees, and + where the report is delivered."""


@pytest.mark.parametrize(("steps", "expected", "why"), SHOWN)
def test_what_is_gone_is_shown_until_it_is_delivered(steps: str, expected: str, why: str) -> None:
    origin, delivered, shown = counted(reading(0)), dict[str, int](), list[str]()
    for number, step in enumerate(steps.split(), start=1):
        look = reading(1000 * number, *(disk(MIB, name) for name in step.strip("+")))
        after, _ = integrate(origin, look, OBSERVED_MS)
        origin = decode(encode(numbered(settled(after, delivered), look)))
        shown.append("".join(report(origin).resource))
        if step.endswith("+"):
            delivered[origin.origin] = origin.seq
    assert shown == expected.split(" "), why


def test_the_final_sum_is_that_of_the_look_that_showed_it_gone() -> None:
    """Used space to that look, and a GPU's time as the looks between two reports knew it."""
    origin = counted(reading(0, disk(MIB), held(1)))
    for up_ms, *samples in ((1000, held(1)), (2000,)):
        look = Reading(
            WALL_MS + up_ms, up_ms, tuple(samples), frozenset({"gpu.busy_ms", "gpu.alloc_ms"})
        )
        origin, _ = integrate(origin, look, OBSERVED_MS)
    origin = counted(reading(5000), reading(6000), origin=origin)
    assert report(origin).value == (5, 1000)


def test_a_series_that_was_delivered_keeps_its_sum_for_when_it_is_back() -> None:
    origin = counted(reading(1000, nic(500), cpu(1)), reading(2000, cpu(2)))
    origin = settled(origin, {origin.origin: origin.seq})
    assert report(origin).meter == ("cpu.busy_ms",)
    origin = counted(reading(3000, nic(501), cpu(3)), origin=origin)
    assert report(origin).value == (3, 501)


def test_what_is_delivered_of_another_origin_settles_nothing() -> None:
    origin = counted(reading(1000, nic(500), cpu(1)), reading(2000, cpu(2)))
    assert settled(origin, {"another": 99}) == origin


def test_time_is_the_boot_clock_whatever_the_wall_says() -> None:
    first = reading(1000, disk(MIB))
    stepped = Reading(WALL_MS - 10**9, 6000, (disk(MIB),), first.meters)
    assert shown_value(counted(first, stepped), ("disk.used_mib_s", "/")) == 5


def test_every_report_has_a_number_of_its_own_and_integers_in_bounds() -> None:
    origin = counted(reading(1000, nic(500), disk(5)), reading(2000, nic(900), disk(5)))
    sent = report(origin)
    assert (sent.seq, sent.at_up_ms, sent.since_ms) == (2, 2000, WALL_MS)
    assert all(type(value) is int and 0 <= value <= VALUE_MAX for value in sent.value)


def test_a_sum_that_the_wire_cannot_hold_is_left_out_of_the_report() -> None:
    origin = counted(reading(1000, nic(500), cpu(5)))
    origin.sums["net.rx_bytes", "eth0"] = VALUE_MAX
    assert report(origin).value == (5, VALUE_MAX)
    origin.sums["net.rx_bytes", "eth0"] += 1
    assert report(origin).meter == ("cpu.busy_ms",)


def test_series_are_bounded() -> None:
    many = [nic(1, f"e{i}", i) for i in range(1, SERIES_MAX + 3)]
    origin, notes = integrate(counted(reading(0)), reading(1000, *many), OBSERVED_MS)
    assert len(origin.sums) == len(report(origin).value) == SERIES_MAX
    assert len(notes) == 2
    assert "left out" in notes[0]


def test_all_that_was_ever_metered_fits_one_report() -> None:
    """Volumes with the longest names, coming and going: each is counted, or said to be left out."""
    origin, said = counted(reading(0)), list[str]()
    for number in range(1, 1000, 100):
        looks = [disk(1, f"{n}{'😀' * (NAME_CHARS_MAX - 4)}") for n in range(number, number + 100)]
        origin, notes = integrate(origin, reading(1000 * number, *looks), OBSERVED_MS)
        said += notes
    origin.sums.update(dict.fromkeys(origin.sums, VALUE_MAX * 2**20 * 1000))
    longest = replace(report(origin), server="😀" * NAME_CHARS_MAX, origin="😀" * NAME_CHARS_MAX)
    assert len(longest.value) + len(said) == 1000
    assert MESSAGE_BYTES_MAX - 10_000 < len(encode_report(longest)) <= MESSAGE_BYTES_MAX


def test_devices_that_are_gone_are_forgotten_beyond_a_bound() -> None:
    origin = counted(reading(0))
    for start in range(1, 5 * SERIES_MAX, SERIES_MAX):
        many = [nic(1, f"e{i}", start + i) for i in range(SERIES_MAX)]
        origin = counted(reading(1000 * start, *many), origin=origin)
    assert len(origin.marks) <= 2 * SERIES_MAX
    assert set(origin.sums.values()) == {5}
