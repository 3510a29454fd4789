"""Under which origin a starting agent counts, and what a reboot may have kept from being sent."""

import dataclasses

import pytest

from agents.integrate import Origin, report
from agents.origin import Start, start
from tests.agents.words import WALL_MS, counted, nic, reading

SAVED = counted(reading(50_000, nic(500)), reading(60_000, nic(900)))


def begun(saved: Origin | None, **changed: str) -> Start:
    words = {"server": "s1", "boot_id": "boot-1", "new_id": "new", **changed}
    return start(saved, reading(70_000, nic(1000)), **words)


def test_the_same_origin_goes_on_in_the_same_boot() -> None:
    start_again = begun(SAVED)
    assert start_again.origin is SAVED
    assert start_again.unsent is None
    assert "goes on after report 2" in start_again.said


def test_a_boot_starts_an_origin_at_boot_and_sends_the_last_report_again() -> None:
    booted = begun(SAVED, boot_id="boot-2")
    assert (booted.origin.origin, booted.origin.since_ms, booted.origin.seq) == ("new", WALL_MS, 0)
    assert booted.unsent == report(SAVED)
    assert counted(reading(70_000, nic(1000)), origin=booted.origin).sums == {
        ("net.rx_bytes", "eth0"): 1000
    }


@pytest.mark.parametrize(
    ("saved", "changed", "said"),
    [
        (None, {}, "there is no earlier state"),
        (None, {"why_lost": "it is torn"}, "it is torn"),
        (SAVED, {"server": "s2"}, "belongs to server 's1', this is 's2'"),
        (dataclasses.replace(SAVED, at_up_ms=90_000), {}, "restored snapshot"),
    ],
)
def test_where_the_past_is_unknown_counting_starts_now(
    saved: Origin | None, changed: dict[str, str], said: str
) -> None:
    lost = begun(saved, **changed)
    assert (lost.origin.origin, lost.origin.since_ms) == ("new", WALL_MS + 70_000)
    assert lost.unsent is None
    assert said in lost.said
    assert counted(reading(70_000, nic(1000)), origin=lost.origin).sums == {
        ("net.rx_bytes", "eth0"): 0
    }
