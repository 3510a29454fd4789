"""GPUs through a stand-in for NVML: what answers is metered, what fails is left out."""

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from agents.gpu import RETRY_MS, Gpus


class NVMLError(Exception):
    """What NVML raises for everything."""

    def __init__(self, said: str, value: int = 999) -> None:
        super().__init__(said)
        self.value = value


@dataclass
class Card:
    uuid: str = "GPU-1"
    percent: int = 40
    processes: int = 1
    mig: list[str] | None = None
    fails: set[str] = field(default_factory=set)
    lost: bool = False
    energy_mj: int = 5_000
    ecc: int | None = 0
    used: int = 2**30


@dataclass
class FakeNvml:
    """The calls of ``pynvml`` that the agent makes, over a list of cards."""

    cards: list[Card]
    fails: bool = False
    inits: int = 0
    events: list[Card] = field(default_factory=list)
    hangs: threading.Event | None = None
    NVMLError = NVMLError

    def __getattr__(self, name: str) -> object:
        call = {
            "nvmlInit": self.init,
            "nvmlShutdown": lambda: None,
            "nvmlDeviceGetCount": lambda: self.answer(len(self.cards)),
            "nvmlDeviceGetHandleByIndex": lambda index: self.card(self.cards[index], "handle"),
            "nvmlDeviceGetUUID": lambda card: card if isinstance(card, str) else card.uuid,
            "nvmlDeviceGetUtilizationRates": lambda card: SimpleNamespace(
                gpu=self.card(card, "busy").percent
            ),
            "nvmlDeviceGetComputeRunningProcesses": lambda card: (
                ["p"] if isinstance(card, str) else ["p"] * self.card(card, "alloc").processes
            ),
            "nvmlDeviceGetMemoryInfo": lambda card: SimpleNamespace(used=self.memory(card)),
            "nvmlDeviceGetTotalEnergyConsumption": lambda card: card.energy_mj,
            "nvmlDeviceGetTotalEccErrors": lambda card, _kind, _since: self.ecc(card),
            "nvmlEventSetCreate": lambda: "set",
            "nvmlDeviceRegisterEvents": lambda _card, _kind, _set: None,
            "nvmlEventSetWait_v2": lambda _set, _ms: SimpleNamespace(device=self.event()),
            "nvmlDeviceGetMigMode": lambda card: [int(self.card(card, "mig").mig is not None), 0],
            "nvmlDeviceGetMaxMigDeviceCount": lambda _card: 7,
            "nvmlDeviceGetMigDeviceHandleByIndex": self.instance,
        }
        return call[name]

    def init(self) -> None:
        self.inits += 1
        self.answer(0)

    def answer(self, value: int) -> int:
        if self.hangs:
            self.hangs.wait(20)
        if self.fails:
            raise NVMLError("Driver Not Loaded")
        return value

    def card(self, card: Card, call: str) -> Card:
        if call in card.fails or self.fails:
            raise NVMLError("GPU is lost")
        return card

    def memory(self, card: Card | str) -> int:
        if isinstance(card, str):
            return 2**20
        if card.lost:
            raise NVMLError("GPU is lost", 15)
        return card.used

    def ecc(self, card: Card) -> int:
        if card.ecc is None:
            raise NVMLError("Not Supported", 3)
        return card.ecc

    def event(self) -> Card:
        if not self.events:
            raise NVMLError("Timeout", 10)
        return self.events.pop()

    def instance(self, card: Card, index: int) -> str:
        if card.mig is None or index >= len(card.mig):
            raise NVMLError("Not Found")
        return card.mig[index]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree in which an NVIDIA driver is loaded."""
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    return tmp_path


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


def test_busy_and_allocated(root: Path) -> None:
    gpus = Gpus(root, FakeNvml([Card(), Card("GPU-2", 0, 0)]))
    assert read(gpus) == [
        ("gpu.busy_ms", "GPU-1", 40),
        ("gpu.alloc_ms", "GPU-1", 1),
        ("gpu.busy_ms", "GPU-2", 0),
        ("gpu.alloc_ms", "GPU-2", 0),
    ]
    assert gpus.said == "metering 2 NVIDIA GPUs"


@pytest.mark.parametrize(
    ("fails", "left"),
    [
        ({"handle"}, []),
        ({"busy"}, ["gpu.alloc_ms"]),
        ({"alloc"}, ["gpu.busy_ms"]),
        ({"mig"}, ["gpu.busy_ms", "gpu.alloc_ms"]),
    ],
)
def test_one_broken_gpu_stops_no_other(root: Path, fails: set[str], left: list[str]) -> None:
    gpus = Gpus(root, FakeNvml([Card("GPU-1", fails=fails), Card("GPU-2")]))
    seen = read(gpus)
    assert [meter for meter, uuid, _ in seen if uuid == "GPU-1"] == left
    assert len([meter for meter, uuid, _ in seen if uuid == "GPU-2"]) == 2


def test_mig_instances_are_metered_by_allocation(root: Path) -> None:
    gpus = Gpus(root, FakeNvml([Card(mig=["MIG-a", "MIG-b"]), Card("GPU-2")]))
    assert read(gpus)[:2] == [("gpu.alloc_ms", "MIG-a", 1), ("gpu.alloc_ms", "MIG-b", 1)]
    assert len(read(gpus)) == 4


def test_a_driver_that_goes_and_comes_back(root: Path) -> None:
    nvml = FakeNvml([Card()])
    gpus = Gpus(root, nvml)
    assert len(read(gpus, 0)) == 2
    nvml.fails = True
    assert read(gpus, 1000, (*USE, "gpu.lost_ms")) == [("gpu.lost_ms", "GPU-1", 1)]
    assert "stopped answering" in gpus.said
    nvml.fails = False
    assert read(gpus, 2000) == [], "left alone for a while"
    assert nvml.inits == 1
    assert len(read(gpus, 1000 + RETRY_MS)) == 2
    assert gpus.said == "metering 1 NVIDIA GPU"


def test_a_driver_without_an_answer_is_said(root: Path) -> None:
    gpus = Gpus(root, FakeNvml([], fails=True))
    assert read(gpus) == []
    assert "does not answer (Driver Not Loaded)" in gpus.said


def test_nonsense_is_not_a_percentage(root: Path) -> None:
    assert [meter for meter, _, _ in read(Gpus(root, FakeNvml([Card(percent=101)])))] == [
        "gpu.alloc_ms"
    ]


HEALTH = ("gpu.lost_ms", "gpu.energy_mj", "gpu.ecc_errors", "gpu.xid_errors", "gpu.memory_mib_s")


def test_memory_energy_and_errors(root: Path) -> None:
    """A card without ECC has no such series; an event counts once, for its own card."""
    one, two = Card(), Card("GPU-2", ecc=None, energy_mj=7)
    gpus = Gpus(root, FakeNvml([one, two], events=[two, two]))
    gpus.read(0)
    assert read(gpus, 1, HEALTH) == [
        ("gpu.lost_ms", "GPU-1", 0),
        ("gpu.energy_mj", "GPU-1", 5_000),
        ("gpu.ecc_errors", "GPU-1", 0),
        ("gpu.xid_errors", "GPU-1", 0),
        ("gpu.memory_mib_s", "GPU-1", 2**30),
        ("gpu.lost_ms", "GPU-2", 0),
        ("gpu.energy_mj", "GPU-2", 7),
        ("gpu.xid_errors", "GPU-2", 2),
        ("gpu.memory_mib_s", "GPU-2", 2**30),
    ]


def test_a_mig_instance_has_memory_of_its_own(root: Path) -> None:
    gpus = Gpus(root, FakeNvml([Card(mig=["MIG-a"])]))
    assert read(gpus, 0, ("gpu.memory_mib_s",)) == [("gpu.memory_mib_s", "MIG-a", 2**20)]


def test_a_gpu_off_the_bus_is_lost_and_the_others_go_on(root: Path) -> None:
    one = Card()
    nvml = FakeNvml([one, Card("GPU-2")])
    gpus = Gpus(root, nvml)
    gpus.read(0)
    one.lost = True
    lost = read(gpus, 1000, ("gpu.lost_ms",))
    assert sorted(lost) == [("gpu.lost_ms", "GPU-1", 1), ("gpu.lost_ms", "GPU-2", 0)]
    nvml.cards.remove(one)
    assert sorted(read(gpus, 2000, ("gpu.lost_ms",))) == sorted(lost), "enumerated no more"
    one.lost = False
    nvml.cards.insert(0, one)
    assert {value for _, _, value in read(gpus, 3000, ("gpu.lost_ms",))} == {0}


def test_a_driver_that_was_taken_away_lost_nothing(root: Path) -> None:
    nvml = FakeNvml([Card()])
    gpus = Gpus(root, nvml)
    gpus.read(0)
    nvml.fails = True
    assert read(gpus, 1000, ("gpu.lost_ms",)) == [("gpu.lost_ms", "GPU-1", 1)]
    (root / "proc/driver/nvidia").rmdir()
    assert gpus.read(2000) == []


def test_a_call_that_hangs_is_bounded_and_made_by_one_thread_only(root: Path) -> None:
    nvml = FakeNvml([Card()])
    gpus = Gpus(root, nvml, timeout_s=0.2)
    assert len(read(gpus)) == 2
    nvml.hangs = threading.Event()
    began, threads = time.monotonic(), threading.active_count()
    for second in range(5):
        assert read(gpus, second, (*USE, "gpu.lost_ms")) == [("gpu.lost_ms", "GPU-1", 1)]
    assert time.monotonic() - began < 10, "the first waits, the others do not"
    assert threading.active_count() == threads + 1
    assert gpus.said.startswith("NVML hangs")
    hanging, nvml.hangs = nvml.hangs, None
    hanging.set()
    until = time.monotonic() + 10
    while not read(gpus, 9) and time.monotonic() < until:
        time.sleep(0.01)
    assert gpus.said == "metering 1 NVIDIA GPU"
