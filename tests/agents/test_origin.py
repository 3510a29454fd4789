"""Under which origin a starting agent counts, and which earlier ones still wait for the broker."""

import dataclasses

import pytest

from agents.integrate import Origin, report
from agents.origin import FORMER_MAX, Start, start
from tests.agents.words import WALL_MS, counted, nic, reading

SAVED = counted(reading(50_000, nic(500)), reading(60_000, nic(900)))
FUTURE = dataclasses.replace(SAVED, at_up_ms=90_000)


def begun(saved: Origin | None, **changed: str) -> Start:
    words = {"server": "s1", "boot_id": "boot-1", "new_id": "new", **changed}
    return start(saved, reading(70_000, nic(1000)), **words)


def test_the_same_origin_goes_on_in_the_same_boot() -> None:
    start_again = begun(SAVED)
    assert start_again.origin is SAVED
    assert start_again.origin.former == ()
    assert "goes on after report 2" in start_again.said


def test_a_boot_starts_an_origin_at_boot_and_sends_the_last_report_again() -> None:
    booted = begun(SAVED, boot_id="boot-2")
    assert (booted.origin.origin, booted.origin.since_ms, booted.origin.seq) == ("new", WALL_MS, 0)
    assert booted.origin.former == (report(SAVED),)
    assert counted(reading(70_000, nic(1000)), origin=booted.origin).sums == {
        ("net.rx_bytes", "eth0"): 1000
    }


def test_last_reports_wait_through_many_boots_up_to_a_bound() -> None:
    """The oldest gives way, and it is said; a boot that never reported has none."""
    origin, ids = SAVED, [SAVED.origin]
    for boot in range(FORMER_MAX):
        begun_again = begun(origin, boot_id=f"boot-{boot + 2}", new_id=f"o{boot + 2}")
        assert "gives way" not in begun_again.said
        origin = counted(reading(70_000, nic(1000)), origin=begun_again.origin)
        ids.append(origin.origin)
    last = begun(origin, boot_id="boot-last")
    assert "the oldest gives way" in last.said
    assert [one.origin for one in last.origin.former] == ids[1:]
    silent = begun(last.origin, boot_id="boot-silent")
    assert silent.origin.former == last.origin.former


@pytest.mark.parametrize(
    ("saved", "changed", "said"),
    [
        (None, {}, "there is no earlier state"),
        (None, {"why_lost": "it is torn"}, "it is torn"),
        (SAVED, {"server": "s2"}, "belongs to server 's1', this is 's2'"),
        (FUTURE, {}, "restored snapshot"),
    ],
)
def test_where_the_past_is_unknown_counting_starts_now(
    saved: Origin | None, changed: dict[str, str], said: str
) -> None:
    lost = begun(saved, **changed)
    assert (lost.origin.origin, lost.origin.since_ms) == ("new", WALL_MS + 70_000)
    assert lost.origin.former == ((report(FUTURE),) if saved is FUTURE else ())
    assert said in lost.said
    assert counted(reading(70_000, nic(1000)), origin=lost.origin).sums == {
        ("net.rx_bytes", "eth0"): 0
    }
