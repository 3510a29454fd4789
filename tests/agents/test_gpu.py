"""GPUs through a stand-in for NVML: what answers is metered, what fails is left out."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from agents.gpu import RETRY_MS, Gpus


class NVMLError(Exception):
    """What NVML raises for everything."""


@dataclass
class Card:
    uuid: str = "GPU-1"
    percent: int = 40
    processes: int = 1
    mig: list[str] | None = None
    fails: set[str] = field(default_factory=set)


@dataclass
class FakeNvml:
    """The calls of ``pynvml`` that the agent makes, over a list of cards."""

    cards: list[Card]
    fails: bool = False
    inits: int = 0
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
            "nvmlDeviceGetMigMode": lambda card: [int(self.card(card, "mig").mig is not None), 0],
            "nvmlDeviceGetMaxMigDeviceCount": lambda _card: 7,
            "nvmlDeviceGetMigDeviceHandleByIndex": self.instance,
        }
        return call[name]

    def init(self) -> None:
        self.inits += 1
        self.answer(0)

    def answer(self, value: int) -> int:
        if self.fails:
            raise NVMLError("Driver Not Loaded")
        return value

    def card(self, card: Card, call: str) -> Card:
        if call in card.fails or self.fails:
            raise NVMLError("GPU is lost")
        return card

    def instance(self, card: Card, index: int) -> str:
        if card.mig is None or index >= len(card.mig):
            raise NVMLError("Not Found")
        return card.mig[index]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree in which an NVIDIA driver is loaded."""
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    return tmp_path


def read(gpus: Gpus, up_ms: int = 0) -> list[tuple[str, str, int]]:
    return [(sample.meter, sample.resource, sample.value) for sample in gpus.read(up_ms)]


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
    assert read(gpus, 1000) == []
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
