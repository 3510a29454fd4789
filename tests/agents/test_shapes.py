"""Recorded machines of three kernels: what is counted there, and that it is counted once."""

from pathlib import Path

import pytest

from agents import network, storage
from agents.sample import Sample
from tests.agents.shapes import plant

EL7, DEBIAN, GPUS = "el7-bond", "debian12-docker", "ubuntu24-gpu8"


def nics(root: Path, choice: network.Choice | None = None) -> dict[str, Sample]:
    samples, _ = network.read(root, choice or network.Choice())
    return {sample.resource: sample for sample in samples if sample.meter == "net.rx_bytes"}


@pytest.mark.parametrize(
    ("shape", "expected", "why"),
    [
        (EL7, {"em1": 70 * 10**9, "em2": 30 * 10**9}, "no lower_* links: only hardware counts"),
        (DEBIAN, {"enp1s0f0": 60_000, "enp1s0f1": 40_000}, "a VLAN may have any name; ppp sits on"),
        (
            GPUS,
            {"ens1f0np0": 8 * 10**12, "ens1f1np1": 1, "ens1f0v0": 500, "enxbe3af2b6059f": 3},
            "a virtual function has bytes of its own, its representor repeats them",
        ),
    ],
)
def test_each_byte_counts_once(
    tmp_path: Path, shape: str, expected: dict[str, int], why: str
) -> None:
    seen = nics(plant(shape, tmp_path))
    assert {name: sample.value for name, sample in seen.items()} == expected, why


def test_what_sits_on_hardware_counts_only_when_it_is_named(tmp_path: Path) -> None:
    seen = nics(plant(DEBIAN, tmp_path), network.Choice(include=("wg0",)))
    assert sorted(seen) == ["enp1s0f0", "enp1s0f1", "wg0"]


def test_a_card_is_told_by_its_own_address_where_a_bond_gives_it_another(tmp_path: Path) -> None:
    seen = nics(plant(DEBIAN, tmp_path))
    assert {name: sample.card for name, sample in seen.items()} == {
        "enp1s0f0": ("3c:ec:ef:12:34:56", "ice 0000:01:00.0 0"),
        "enp1s0f1": ("3c:ec:ef:12:34:57", "ice 0000:01:00.1 0"),
    }


def test_a_card_without_an_address_of_its_own_is_told_by_driver_and_slot(tmp_path: Path) -> None:
    seen = nics(plant(EL7, tmp_path))
    assert seen["em2"].card == ("", "ixgbe 0000:01:00.1 0")


@pytest.mark.parametrize(
    ("shape", "points"),
    [
        (EL7, ["/", "/boot", "/var/lib/docker/devicemapper/mnt/5aa1c0", "/var/lib/libvirt"]),
        (DEBIAN, ["/", "/boot", "/boot/efi", "/data", "/srv"]),
    ],
)
def test_each_block_counts_once(tmp_path: Path, shape: str, points: list[str]) -> None:
    """md and LVM are seen as what is mounted from them; overlays, binds and networks are not."""
    mounts = storage.chosen(plant(shape, tmp_path), storage.Choice())
    found = [mount.point.decode() for mount in mounts]
    assert found == points
