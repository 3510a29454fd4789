"""GPUs through the agent's own binding and a library that stands in for NVIDIA's: what answers is
metered, what fails is left out.
"""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from agents.gpu import Gpus
from agents.nvidia import RETRY_MS
from agents.nvml import LIBRARY, Nvml
from tests.agents.nvml import StandIn


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree in which an NVIDIA driver is loaded."""
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def driver(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path)


USE = ("gpu.busy_ms", "gpu.alloc_ms")


def read(gpus: Gpus, up_ms: int = 0, meters: tuple[str, ...] = USE) -> list[tuple[str, str, int]]:
    return [
        (sample.meter, sample.resource, sample.value)
        for sample in gpus.read(up_ms)
        if sample.meter in meters
    ]


def test_no_driver_no_gpu_and_a_sentence_that_says_so(tmp_path: Path) -> None:
    gpus = Gpus(tmp_path)
    assert read(gpus) == []
    assert not gpus.present
    assert "no NVIDIA GPU found" in gpus.said


def test_busy_and_allocated(root: Path, driver: StandIn) -> None:
    driver.card()
    driver.card("GPU-2", percent=0, processes=0)
    gpus = Gpus(root, driver.nvml)
    assert read(gpus) == [
        ("gpu.busy_ms", "GPU-1", 40),
        ("gpu.alloc_ms", "GPU-1", 1),
        ("gpu.busy_ms", "GPU-2", 0),
        ("gpu.alloc_ms", "GPU-2", 0),
    ]
    assert gpus.said == "metering 2 NVIDIA GPUs"


@pytest.mark.parametrize(
    ("broken", "left"),
    [
        ({"no_handle": 1}, []),
        ({"no_busy": 1}, ["gpu.alloc_ms"]),
        ({"no_processes": 1}, ["gpu.busy_ms"]),
        ({"mig": -1}, ["gpu.busy_ms", "gpu.alloc_ms"]),
        ({"mig": 1}, ["gpu.busy_ms", "gpu.alloc_ms"]),
    ],
)
def test_one_broken_gpu_stops_no_other(
    root: Path, driver: StandIn, broken: dict[str, Any], left: list[str]
) -> None:
    """MIG that is not offered, or has no instance yet, is none."""
    one, _ = driver.card(), driver.card("GPU-2")
    for name, value in broken.items():
        setattr(one, name, value)
    seen = read(Gpus(root, driver.nvml))
    assert [meter for meter, uuid, _ in seen if uuid == "GPU-1"] == left
    assert len([meter for meter, uuid, _ in seen if uuid == "GPU-2"]) == 2


def test_mig_instances_are_metered_by_allocation(root: Path, driver: StandIn) -> None:
    driver.card(mig=["MIG-a", "MIG-b"])
    driver.card("GPU-2")
    gpus = Gpus(root, driver.nvml)
    assert read(gpus)[:2] == [("gpu.alloc_ms", "MIG-a", 1), ("gpu.alloc_ms", "MIG-b", 1)]
    assert len(read(gpus)) == 4


def test_a_driver_that_goes_and_comes_back(root: Path, driver: StandIn) -> None:
    driver.card()
    gpus = Gpus(root, driver.nvml)
    assert len(read(gpus, 0)) == 2
    driver.fail(now=True)
    assert read(gpus, 1000, (*USE, "gpu.lost_ms")) == [("gpu.lost_ms", "GPU-1", 1)]
    assert "stopped answering" in gpus.said
    driver.fail(now=False)
    assert read(gpus, 2000) == [], "left alone for a while"
    assert driver.inits == 1
    assert len(read(gpus, 1000 + RETRY_MS)) == 2
    assert gpus.said == "metering 1 NVIDIA GPU"


def test_a_driver_without_an_answer_is_said(root: Path, driver: StandIn) -> None:
    driver.fail(now=True)
    gpus = Gpus(root, driver.nvml)
    assert read(gpus) == []
    assert "does not answer (Driver Not Loaded, NVML's error 9)" in gpus.said


def test_a_driver_without_its_library_is_said(root: Path) -> None:
    gpus = Gpus(root, Nvml(str(root / LIBRARY)))
    assert read(gpus) == []
    assert f"({LIBRARY} is not there: install the one of the driver's version)" in gpus.said


def test_an_old_driver_meters_what_it_offers(root: Path, tmp_path: Path) -> None:
    """First versions of the calls, no energy, no MIG."""
    old = StandIn(tmp_path, "-DOLD")
    old.card(ecc=3)
    old.event(0)
    gpus = Gpus(root, old.nvml)
    assert read(gpus, 0, (*USE, *HEALTH)) == [
        ("gpu.lost_ms", "GPU-1", 0),
        ("gpu.ecc_errors", "GPU-1", 3),
        ("gpu.xid_errors", "GPU-1", 1),
        ("gpu.busy_ms", "GPU-1", 40),
        ("gpu.alloc_ms", "GPU-1", 1),
        ("gpu.memory_mib_s", "GPU-1", 2**30),
    ]
    missing = "nvmlDeviceGetTotalEnergyConsumption"
    assert gpus.said == f"metering 1 NVIDIA GPU; the driver is too old for {missing}"


def test_nonsense_is_not_a_percentage(root: Path, driver: StandIn) -> None:
    driver.card(percent=101)
    assert [meter for meter, _, _ in read(Gpus(root, driver.nvml))] == ["gpu.alloc_ms"]


HEALTH = ("gpu.lost_ms", "gpu.energy_mj", "gpu.ecc_errors", "gpu.xid_errors", "gpu.memory_mib_s")


def test_memory_energy_and_errors(root: Path, driver: StandIn) -> None:
    """A card without ECC has no such series; an event counts once, for its own card."""
    driver.card()
    driver.card("GPU-2", no_ecc=1, energy=2**40)
    driver.event(1)
    driver.event(1)
    gpus = Gpus(root, driver.nvml)
    gpus.read(0)
    assert read(gpus, 1, HEALTH) == [
        ("gpu.lost_ms", "GPU-1", 0),
        ("gpu.energy_mj", "GPU-1", 5_000),
        ("gpu.ecc_errors", "GPU-1", 0),
        ("gpu.xid_errors", "GPU-1", 0),
        ("gpu.memory_mib_s", "GPU-1", 2**30),
        ("gpu.lost_ms", "GPU-2", 0),
        ("gpu.energy_mj", "GPU-2", 2**40),
        ("gpu.xid_errors", "GPU-2", 2),
        ("gpu.memory_mib_s", "GPU-2", 2**30),
    ]


def test_a_mig_instance_has_memory_of_its_own(root: Path, driver: StandIn) -> None:
    driver.card(mig=["MIG-a"])
    gpus = Gpus(root, driver.nvml)
    assert read(gpus, 0, ("gpu.memory_mib_s",)) == [("gpu.memory_mib_s", "MIG-a", 2**20)]


def test_a_gpu_off_the_bus_is_lost_and_the_others_go_on(root: Path, driver: StandIn) -> None:
    one, _ = driver.card(), driver.card("GPU-2")
    gpus = Gpus(root, driver.nvml)
    gpus.read(0)
    one.lost = 1
    lost = read(gpus, 1000, ("gpu.lost_ms",))
    assert sorted(lost) == [("gpu.lost_ms", "GPU-1", 1), ("gpu.lost_ms", "GPU-2", 0)]
    one.parent = -2
    assert sorted(read(gpus, 2000, ("gpu.lost_ms",))) == sorted(lost), "enumerated no more"
    one.lost, one.parent = 0, -1
    assert {value for _, _, value in read(gpus, 3000, ("gpu.lost_ms",))} == {0}


def test_a_driver_that_was_taken_away_lost_nothing(root: Path, driver: StandIn) -> None:
    driver.card()
    gpus = Gpus(root, driver.nvml)
    gpus.read(0)
    driver.fail(now=True)
    assert read(gpus, 1000, ("gpu.lost_ms",)) == [("gpu.lost_ms", "GPU-1", 1)]
    (root / "proc/driver/nvidia").rmdir()
    assert gpus.read(2000) == []


def test_a_call_that_hangs_is_bounded_and_made_by_one_thread_only(
    root: Path, driver: StandIn
) -> None:
    driver.card()
    gpus = Gpus(root, driver.nvml, timeout_s=0.2)
    assert len(read(gpus)) == 2
    driver.hang(now=True)
    began, threads = time.monotonic(), threading.active_count()
    for second in range(5):
        assert read(gpus, second, (*USE, "gpu.lost_ms")) == [("gpu.lost_ms", "GPU-1", 1)]
    assert time.monotonic() - began < 10, "the first waits, the others do not"
    assert threading.active_count() == threads + 1
    assert gpus.said.startswith("NVML hangs")
    driver.hang(now=False)
    until = time.monotonic() + 10
    while not read(gpus, 9) and time.monotonic() < until:
        time.sleep(0.01)
    assert gpus.said == "metering 1 NVIDIA GPU"
