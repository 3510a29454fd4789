"""Recorded machines of three kernels: what is counted there, and that it is counted once."""

import json
import subprocess
from pathlib import Path

import psutil
import pytest

from agents import amd, block, cpu, memory, network, power, pressure, storage
from agents.integrate import Origin, from_now, shown_value
from agents.sample import Reading, Sample
from tests.agents.shapes import plant
from tests.agents.words import counted, reading

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


@pytest.mark.parametrize(
    ("shape", "expected", "why"),
    [
        (EL7, {"sda": (512_000, 4_096_000), "sdb": (563_200, 4_096_000)}, "not md, dm, a drive"),
        (
            DEBIAN,
            {"nvme0n1": (409_600, 819_200), "nvme1n1": (409_600, 819_200), "sdc": (40_960, 81_920)},
            "not its partitions, the mirror, the volume, a loop, zram, a hidden path",
        ),
    ],
)
def test_each_byte_of_a_disk_counts_once(
    tmp_path: Path, shape: str, expected: dict[str, tuple[int, int]], why: str
) -> None:
    values = {
        (sample.meter, sample.resource): sample.value
        for sample in block.read(plant(shape, tmp_path))
    }
    found = {
        name: (values["block.read_bytes", name], values["block.written_bytes", name])
        for _, name in values
    }
    assert found == expected, why


def test_disks_are_told_by_their_world_wide_id(tmp_path: Path) -> None:
    seen = {one.resource: (one.card[0], one.device) for one in block.read(plant(DEBIAN, tmp_path))}
    assert seen["sdc"] == ("naa.5000c500a1b2c3d6", "sdc@11")
    assert seen["nvme1n1"] == ("eui.36344630528045320025384e00000002", "nvme1n1@10")


def test_pressure_in_all_its_kinds_and_none_before_linux_4_20(tmp_path: Path) -> None:
    seen = [(one.meter, one.resource, one.value) for one in pressure.read(plant(DEBIAN, tmp_path))]
    assert seen == [
        ("pressure.some_us", "cpu", 7_654_321),
        ("pressure.full_us", "cpu", 0),
        ("pressure.some_us", "memory", 100),
        ("pressure.full_us", "memory", 90),
        ("pressure.some_us", "io", 3_000),
        ("pressure.full_us", "io", 2_000),
        ("pressure.full_us", "irq", 55),
    ]
    assert pressure.read(plant(EL7, tmp_path / "el7")) == []


@pytest.mark.parametrize(
    ("text", "kib"),
    [
        ("MemTotal: 100 kB\nMemFree: 10 kB\nMemAvailable: 60 kB\n", 40),
        ("MemTotal: 100 kB\nMemFree: 10 kB\nBuffers: 5 kB\nCached: 25 kB\n", 60),
    ],
    ids=["available", "before 3.14"],
)
def test_used_memory_is_what_no_program_could_have(tmp_path: Path, text: str, kib: int) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text(text)
    assert [one.value for one in memory.read(tmp_path)] == [kib * 1024]


def test_modes_of_the_processors_sum_to_all_their_time(tmp_path: Path) -> None:
    busy, *modes = cpu.read(plant(DEBIAN, tmp_path))
    assert [(one.resource, one.value) for one in modes] == [
        ("user", 10_000), ("nice", 2_000), ("system", 3_000), ("idle", 400_000),
        ("iowait", 50_000), ("irq", 400), ("softirq", 500), ("steal", 600),
    ]  # fmt: skip
    idle = sum(one.value for one in modes if one.resource in ("idle", "iowait"))
    assert busy.value == sum(one.value for one in modes) - idle


def test_energy_of_packages_and_their_memory(tmp_path: Path) -> None:
    seen = {one.resource: (one.value, one.wrap) for one in power.read(plant(GPUS, tmp_path))}
    assert seen == {
        "package-0": (262_143_000_000, 262_143_328_851),
        "package-0/dram": (1_000_000, 65_712_999_614),
        "package-1": (5_000_000, 262_143_328_851),
    }


def test_energy_goes_on_where_the_counter_turns(tmp_path: Path) -> None:
    tree = plant(GPUS, tmp_path)
    before = reading(60_000, *power.read(tree))
    (tree / "sys/class/powercap/intel-rapl:0/energy_uj").write_text("14000000\n")
    origin = counted(before, reading(120_000, *power.read(tree)), origin=from_boot_at(before))
    gained = 262_143_328_851 - 262_143_000_000 + 14_000_000
    assert origin.sums["cpu.energy_mj", "package-0"] == gained * 1000
    assert shown_value(origin, ("cpu.energy_mj", "package-0")) == gained // 1000


def from_boot_at(first: Reading) -> Origin:
    """What was before the first reading does not count."""
    return from_now("s1", "boot-1", "o1", first)


def test_eight_amd_accelerators(tmp_path: Path) -> None:
    seen = [(one.meter, one.resource, one.value) for one in amd.read(plant(GPUS, tmp_path))]
    assert len(seen) == 24
    assert seen[3:6] == [
        ("gpu.busy_ms", "AMD-a1b2c3d4e5f60701", 10),
        ("gpu.memory_mib_s", "AMD-a1b2c3d4e5f60701", 2**30),
        ("gpu.energy_mj", "AMD-a1b2c3d4e5f60701", 200_000_000),
    ]
    assert {one.level for one in amd.read(tmp_path) if one.meter == "gpu.energy_mj"} == {True}


def test_this_machine_as_others_see_it() -> None:
    """psutil's own reading of memory and disks, within what passes between two looks."""
    root = Path("/")
    (used,) = memory.read(root)
    seen = psutil.virtual_memory()
    assert abs(used.value - (seen.total - seen.available)) < seen.total // 10
    before = {one.resource: one.value for one in block.read(root) if "read" in one.meter}
    disks = psutil.disk_io_counters(perdisk=True)
    after = {one.resource: one.value for one in block.read(root) if "read" in one.meter}
    assert before
    for name, value in before.items():
        assert value <= disks[name].read_bytes <= after[name]


def test_nics_as_ip_sees_them_and_disks_as_df_does() -> None:
    root = Path("/")
    before = nics(root, network.Choice(loopback=True))
    links = json.loads(
        subprocess.run(["ip", "-s", "-j", "link"], capture_output=True, check=True).stdout
    )
    after = nics(root, network.Choice(loopback=True))
    shown = {link["ifname"]: link["stats64"]["rx"]["bytes"] for link in links}
    assert len(before) > 1
    for name, sample in before.items():
        assert sample.value <= shown[name] <= after[name].value
    for one in storage.read(root, storage.Choice()):
        said = subprocess.run(
            ["df", "--output=used", "-B1", one.resource], capture_output=True, check=True
        ).stdout
        assert abs(one.value - int(said.split()[-1])) < 2**30
