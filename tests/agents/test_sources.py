"""Captured /proc and /sys trees in, samples out."""

import os
from pathlib import Path

import pytest

from agents import cpu, network, storage
from agents.clock import Now, boot_id
from agents.gpu import Gpus
from agents.read import Sources, read_all
from agents.sample import resource_name
from schemas.errors import RackmeterError
from schemas.report import NAME_CHARS_MAX

TREES = Path(__file__).parent / "trees"
DEDICATED = TREES / "dedicated"


def nics(choice: network.Choice) -> list[str]:
    samples, _ = network.read(DEDICATED, choice)
    return [sample.resource for sample in samples if sample.meter == "net.rx_bytes"]


def test_cpu_time_without_idle_waiting_or_guests_twice() -> None:
    """user+nice+system+irq+softirq+steal = 1000+200+300+40+50+60 jiffies of 10 ms."""
    sample, *_ = cpu.read(DEDICATED)
    assert (sample.meter, sample.value) == ("cpu.busy_ms", 16_500)


@pytest.mark.parametrize("stat", ["", "cpu", "cpu a b c", "intr 1 2\n"])
def test_a_broken_stat_is_no_sample(tmp_path: Path, stat: str) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text(stat)
    assert [sample.value for sample in cpu.read(tmp_path)] in ([], [0])


@pytest.mark.parametrize(
    ("choice", "expected", "why"),
    [
        (network.Choice(), ["eno1", "eno2", "ppp0"], "what sits on another NIC carries its bytes"),
        (network.Choice(loopback=True), ["lo", "eno1", "eno2", "ppp0"], "loopback is asked for"),
        (network.Choice(include=("bond0",)), ["eno1", "eno2", "bond0", "ppp0"], "named wins"),
        (network.Choice(include=("lo", "wg*")), ["lo", "eno1", "eno2", "wg0", "ppp0"], "by glob"),
        (network.Choice(exclude=("eno*", "br-*", "docker0", "veth*", "wg0")), ["ppp0"], "own list"),
    ],
)
def test_each_byte_on_the_wire_counts_once(
    choice: network.Choice, expected: list[str], why: str
) -> None:
    assert nics(choice) == expected, why


def test_nic_samples_carry_identity_and_width() -> None:
    samples, serial_hi = network.read(DEDICATED, network.Choice(wrap32=("ppp*",)))
    by_nic = {(sample.resource, sample.meter): sample for sample in samples}
    eno1 = by_nic["eno1", "net.rx_bytes"]
    assert (eno1.value, eno1.device, eno1.serial, eno1.bits) == (5_000_000_001, "2", 2, 64)
    assert by_nic["eno1", "net.tx_bytes"].value == 7_000
    assert by_nic["ppp0", "net.rx_bytes"].bits == 32
    assert serial_hi == 57, "the youngest NIC, though it is not counted"


def test_a_nic_without_identity_is_not_counted(tmp_path: Path) -> None:
    """It vanished between two files; under no identity its bytes could be counted twice later."""
    (tmp_path / "proc/net").mkdir(parents=True)
    (tmp_path / "proc/net/dev").write_bytes((DEDICATED / "proc/net/dev").read_bytes())
    assert network.read(tmp_path, network.Choice()) == ([], 0)


def test_each_device_counts_once_and_only_real_file_systems() -> None:
    points = [mount.point.decode() for mount in storage.chosen(DEDICATED, storage.Choice())]
    assert points == [
        "/",  # also bound at /mnt/log
        "/boot/efi",
        "/data",  # also a part of it at /srv/tenants
        "/home",  # one btrfs, two subvolumes: the shorter path
        "/mnt/over",  # the later of two mounts hides the earlier
        "/mnt/with space",
        "/tank/vm",
    ]


def test_the_mount_on_top_is_the_one_that_counts() -> None:
    mounts = {mount.point: mount for mount in storage.chosen(DEDICATED, storage.Choice())}
    assert mounts[b"/mnt/over"].device == b"259:9"


def test_mounts_left_out_and_types_added() -> None:
    choice = storage.Choice(exclude=("/mnt/*", "/boot/*", "/tank/*", "/home"), types=("nfs4",))
    points = [mount.point for mount in storage.chosen(DEDICATED, choice)]
    assert points == [b"/", b"/data"]
    wider = storage.chosen(DEDICATED, storage.Choice(types=("nfs4",)))
    assert b"/mnt/nas" in [mount.point for mount in wider]


def test_used_space_is_what_is_not_free_to_root() -> None:
    asked: list[bytes] = []

    def statvfs(path: bytes) -> os.statvfs_result:
        asked.append(path)
        if path.endswith(b"/data"):
            raise OSError(5, "Input/output error")
        return os.statvfs_result((4096, 512, 1000, 400, 300, 0, 0, 0, 0, 255))

    samples = storage.read(DEDICATED, storage.Choice(), statvfs)
    assert {sample.value for sample in samples} == {600 * 512}
    assert "/data" not in [sample.resource for sample in samples], "one broken disk stops no other"
    assert os.fsencode(DEDICATED / "mnt/with space") in asked


def test_the_recorded_machine_as_a_whole() -> None:
    tree = TREES / "virtual"
    sources = Sources(tree, network.Choice(), storage.Choice(), Gpus(tree))
    reading = read_all(sources, Now(1_790_000_000_000, 60_000))
    names = [(sample.meter, sample.resource) for sample in reading.samples]
    assert names == [
        ("net.rx_bytes", "eth0"),
        ("net.tx_bytes", "eth0"),
        ("cpu.busy_ms", ""),
        *(("cpu.mode_ms", mode) for mode in cpu.MODES),
        ("disk.used_mib_s", "/"),
    ]
    assert reading.at_up_ms == 60_000


def test_an_empty_tree_reads_as_nothing(tmp_path: Path) -> None:
    sources = Sources(tmp_path, network.Choice(), storage.Choice(), Gpus(tmp_path))
    assert read_all(sources, Now(1, 1)).samples == ()
    with pytest.raises(RackmeterError, match="cannot tell one boot from the next"):
        boot_id(tmp_path)


def test_this_machine_for_real() -> None:
    root = Path("/")
    sources = Sources(root, network.Choice(loopback=True), storage.Choice(), Gpus(root))
    reading = read_all(sources, Now(1, 1))
    values = {(sample.meter, sample.resource): sample.value for sample in reading.samples}
    assert values["cpu.busy_ms", ""] > 0
    kernel = int(Path("/sys/class/net/lo/statistics/rx_bytes").read_text())
    assert 0 <= values["net.rx_bytes", "lo"] <= kernel


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"/mnt/a b", "/mnt/a b"),
        ("/mnt/größe".encode(), "/mnt/größe"),
        (b"/mnt/\xff", "/mnt/\\xff"),
        (b"/mnt/\n\x00", "/mnt/\\x0a\\x00"),
    ],
)
def test_names_that_the_wire_accepts(raw: bytes, name: str) -> None:
    assert resource_name(raw) == name


def test_long_names_stay_different_and_short_enough() -> None:
    long = [resource_name(b"/" + b"x" * 300 + tail) for tail in (b"1", b"2")]
    assert len(set(long)) == 2
    assert {len(name) for name in long} == {NAME_CHARS_MAX}
