"""Laws: whatever happens to a machine and its agent, the sum is the truth and no number lies twice.

The model has a kernel with one NIC and one disk, and an agent whose memory is lost at any step. The
truth is kept by the model in its own words: bytes that passed, and space × time as a fraction.
"""

from dataclasses import dataclass, field
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from agents.integrate import Origin, integrate, numbered, report
from agents.origin import start
from agents.sample import Sample, Series
from agents.state import decode, encode
from schemas.report import Report
from tests.agents.words import OBSERVED_MS, counted, disk, gpu, lives, nic, reading

WORDS = (
    *("traffic", "traffic", "traffic", "report", "report", "report", "fill"),
    *("crash", "crash before save", "crash before send"),
    *("reset", "replace", "rename", "unplug", "plug", "reboot", "lose", "sleep"),
    *("unmount", "mount"),
)
Steps = list[tuple[str, int]]
STEPS = lives(st.tuples(st.sampled_from(WORDS), st.integers(0, 10**9)), 60)


@dataclass
class Machine:
    bits: int = 64
    up_ms: int = 40_000
    boots: int = 1
    ifindex: int = 2
    name: str = "eth0"
    plugged: bool = True
    raw: int = 0
    used: int = 0
    mounted: bool = True
    bytes_passed: int = 0
    """In this boot, as far as any reading could see them."""
    filled: Fraction = Fraction(0)
    """Byte × ms since the disk was first looked at in this boot, while it was mounted."""
    looked: bool = False
    memory: Origin | None = None
    file: bytes | None = None
    sent: dict[tuple[str, int], Report] = field(default_factory=dict)

    def wait(self, ms: int) -> None:
        self.up_ms += ms
        if self.looked:
            self.filled += Fraction(self.used) * ms

    def traffic(self, size: int) -> None:
        if self.plugged:
            self.raw = (self.raw + size) % 2**self.bits
            self.bytes_passed += size

    def report(self, stop_before: str = "") -> None:
        """One turn of the loop: read, integrate, save, send; a crash forgets what is in memory."""
        samples: list[Sample] = [disk(self.used)] if self.mounted else []
        if self.plugged:
            samples.append(nic(self.raw, self.name, self.ifindex, self.bits))
        look = reading(self.up_ms, *samples, others_hi=self.ifindex)
        if self.memory is None:
            saved = decode(self.file) if self.file else None
            ids = f"origin-{len(self.sent)}-{self.up_ms}-{self.boots}"
            self.memory = start(saved, look, "s1", f"boot-{self.boots}", ids).origin
        after, notes = integrate(self.memory, look, OBSERVED_MS)
        assert not notes
        self.memory = numbered(after, look)
        if stop_before != "save":
            self.looked = self.mounted
            self.file = encode(self.memory)
            if stop_before != "send":
                self._send(self.memory.sums, report(self.memory))
        if stop_before:
            self.memory = None

    def _send(self, sums: dict[Series, int], sent: Report) -> None:
        """Every report that leaves says the truth, and no number leaves with two contents."""
        assert self.sent.setdefault((sent.origin, sent.seq), sent) == sent
        passed = [value for (meter, _), value in sums.items() if meter == "net.rx_bytes"]
        assert sum(passed) == self.bytes_passed
        assert sums.get(("disk.used_mib_s", "/"), 0) == self.filled

    def step(self, word: str, size: int) -> None:
        self.wait(1 + size % 50_000)
        match word:
            case "traffic":
                self.traffic(size)
            case "fill":
                self.report()
                self.used = size
                self.report()
            case "report":
                self.report()
            case "crash":
                self.memory = None
            case "crash before save" | "crash before send":
                self.report(stop_before=word.rsplit(" ", 1)[1])
            case _:
                self.upheaval(word, size)

    def upheaval(self, word: str, size: int) -> None:
        """What ends a counter comes right after a reading: what passes between nobody can know."""
        self.report()
        if word == "reset" and self.plugged and self.raw:
            after = size % self.raw
            if self.bits == 64 or self.raw - after < 2**31:  # else a wrap is the shorter way
                self.raw = after
                self.bytes_passed += after
        elif word in ("replace", "plug"):
            self.ifindex += 1
            self.raw, self.plugged = 0, True
            self.traffic(size)
        elif word == "unplug":
            self.plugged = False
        elif word in ("unmount", "mount"):
            self.mounted = word == "mount"
        elif word == "sleep":
            self.wait(8 * 3_600_000 + size)
        elif word == "rename":
            self.name = f"eth{size % 3}"
        elif word == "lose":
            self.memory = self.file = None
            self.bytes_passed, self.filled, self.looked = 0, Fraction(0), False
        elif word == "reboot":
            self.boots, self.up_ms, self.ifindex, self.raw = self.boots + 1, 1000, 2, 0
            self.bytes_passed, self.filled, self.looked = 0, Fraction(0), False
            self.memory, self.plugged = None, True
            self.traffic(size)
        self.report()


def values(sent: Report) -> dict[tuple[str, str], int]:
    keys = zip(sent.meter, sent.resource, strict=True)
    return dict(zip(keys, sent.value, strict=True))


def check(machine: Machine) -> None:
    """Numbers grow with their values: of any two reports of an origin, none shows a decline."""
    newest: dict[str, Report] = {}
    for (origin, _), sent in sorted(machine.sent.items(), key=lambda item: item[0]):
        earlier = newest.get(origin)
        if earlier is not None:
            assert earlier.since_ms == sent.since_ms
            assert earlier.at_up_ms <= sent.at_up_ms
            old, new = values(earlier), values(sent)
            assert all(new[series] >= old[series] for series in old.keys() & new.keys())
        newest[origin] = sent


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_the_sum_is_the_truth(steps: Steps) -> None:
    machine = Machine()
    machine.upheaval("reboot", 0)
    for word, size in steps:
        machine.step(word, size)
    machine.wait(1)
    machine.report()
    check(machine)


@given(STEPS)
@settings(max_examples=200, deadline=None)
def test_the_sum_is_the_truth_where_counters_wrap_at_32_bits(steps: Steps) -> None:
    """Read often enough, that is: no more than half a turn may pass between two readings."""
    machine = Machine(bits=32)
    machine.upheaval("reboot", 0)
    for word, size in steps:
        machine.step(word, size)
        machine.wait(1)
        machine.report()
    check(machine)


@given(st.lists(st.tuples(st.integers(1, 15_000), st.none() | st.integers(0, 100)), max_size=50))
def test_gpu_time_is_exact_to_the_percent_and_millisecond(
    looks: list[tuple[int, int | None]],
) -> None:
    """None is a look without the GPU: what it did on either side of it nobody knows."""
    up_ms, truth, there = 0, Fraction(0), True
    origin = counted(reading(0, gpu(0)))
    for elapsed_ms, percent in looks:
        up_ms += elapsed_ms
        if there and percent is not None:
            truth += Fraction(percent, 100) * elapsed_ms
        there = percent is not None
        seen = [] if percent is None else [gpu(percent)]
        origin = counted(reading(up_ms, *seen), origin=decode(encode(origin)))
    assert report(origin).value == (int(truth),)
