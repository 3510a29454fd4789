"""A series is a card: what renaming, replacing, bonding and booting do to it."""

from dataclasses import replace

import pytest

from agents.integrate import Origin
from agents.naming import NAMES_MAX, named
from agents.origin import start
from agents.sample import Card, Sample
from agents.state import decode, encode
from tests.agents.words import counted, nic, reading

ONE, TWO = ("aa:00:00:00:00:01", "ice 0000:01:00.0 0"), ("aa:00:00:00:00:02", "ice 0000:01:00.1 0")


def on(card: Card, name: str, value: int, ifindex: int = 2) -> Sample:
    return replace(nic(value, name, ifindex), card=card)


CASES: list[tuple[list[list[Sample]], dict[str, int], str]] = [
    ([[on(ONE, "eth0", 5)], [on(ONE, "ens3", 7)]], {"eth0": 7}, "renamed: goes on"),
    (
        [[on(ONE, "eth0", 5)], [on(TWO, "eth0", 3, 9)]],
        {"eth0": 5, "eth0 (aa:00:00:00:00:02)": 3},
        "replaced under its name: a series of its own",
    ),
    (
        [[on(ONE, "a", 5, 2), on(TWO, "b", 50, 3)], [on(TWO, "a", 60, 3), on(ONE, "b", 6, 2)]],
        {"a": 6, "b": 60},
        "two that swap names keep their series",
    ),
    (
        [[on(ONE, "eth0", 5)], [on(("", ONE[1]), "eth0", 7)], [on(ONE, "eth0", 8)]],
        {"eth0": 8},
        "somebody set its address: driver and slot decide",
    ),
    (
        [[on(("", ONE[1]), "eth0", 5)], [on(("", TWO[1]), "eth0", 3, 9)]],
        {"eth0": 5, "eth0 (ice 0000:01:00.1 0)": 3},
        "no address known, another slot: another card",
    ),
    ([[nic(5, "veth0")], [nic(9, "veth0")]], {"veth0": 9}, "no hardware: known by its name"),
]


@pytest.mark.parametrize(("steps", "sums", "why"), CASES)
def test_series_follow_cards(steps: list[list[Sample]], sums: dict[str, int], why: str) -> None:
    origin = counted(*(reading(60_000 * (i + 1), *step) for i, step in enumerate(steps)))
    assert {name: total for (_, name), total in origin.sums.items()} == sums, why


def test_a_card_keeps_its_name_across_a_boot_and_a_restart() -> None:
    before = counted(reading(60_000, on(ONE, "eth0", 5)))
    assert decode(encode(before)) == before
    booted = reading(1_000, on(ONE, "ens3", 2))
    begun: Origin = start(before, booted, "s1", "boot-2", "o2").origin
    assert counted(booted, origin=begun).sums == {("net.rx_bytes", "eth0"): 2}


def test_names_are_bounded() -> None:
    many = {f"eth{n}": (f"mac-{n}", "") for n in range(NAMES_MAX)}
    known, _ = named(many, [on(ONE, "ens3", 1), on(("mac-7", ""), "eth7", 1, 3)])
    assert known == {"ens3": ONE, "eth7": ("mac-7", "")}
