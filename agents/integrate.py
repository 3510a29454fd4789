"""Raw readings → cumulative counters of an origin. Pure: time and ids are arguments, nothing is
read or written.

An origin's sums are kept in fine integer units (bytes × ms, percent × ms) and divided only when
shown, so nothing drifts. How a raw value becomes usage depends on what it is:

counted   a kernel counter. The difference counts. A smaller value is a reset: the device has
          counted the new value since zero. From a source of 32 bits it is a wrap when that is the
          shorter way.
steady    a kernel counter that nothing resets within a boot. A smaller value is noise (some
          hypervisors correct stolen CPU time downwards) and waits until it is past its mark again.
holding   a level that stays until the next look, like used space: it fills the time since the last
          look, also while no agent ran, because a disk stays as full as it was left.
trailing  a level that describes the time before the look, like GPU utilisation: it counts only
          where the looks are close. What nobody saw, an hour without an agent or in suspend, is
          not counted. Power is one, where a source has no counter of energy (``Sample.level``).

A device first seen after others is counted from zero when it was born since the last reading (its
serial is higher than all seen before), and from its present value when it was there and not
metered.

Nothing counted is lost: a series that is gone is shown with its final sum until the broker has a
report that shows it, so whatever else of an origin gets lost, the broker has every series' last
word.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, NamedTuple

from agents.naming import named
from agents.room import beyond_a_report
from agents.sample import Card, Reading, Sample, Series
from schemas.meters import TIME_SLACK_MS, per_second_max
from schemas.report import SERIES_MAX, VALUE_MAX, Report


class How(Enum):
    COUNTED = "counted"
    STEADY = "steady"
    HOLDING = "holding"
    TRAILING = "trailing"


class Rule(NamedTuple):
    how: How
    divisor: int = 1
    """Fine units in one unit of the meter."""


RULES: Final[dict[str, Rule]] = {
    "net.rx_bytes": Rule(How.COUNTED),
    "net.tx_bytes": Rule(How.COUNTED),
    "cpu.busy_ms": Rule(How.STEADY),
    "disk.used_mib_s": Rule(How.HOLDING, 2**20 * 1000),
    "gpu.busy_ms": Rule(How.TRAILING, 100),
    "gpu.alloc_ms": Rule(How.TRAILING),
    "gpu.memory_mib_s": Rule(How.TRAILING, 2**20 * 1000),
    "gpu.energy_mj": Rule(How.COUNTED, 10**6),
    "gpu.ecc_errors": Rule(How.COUNTED),
    "gpu.xid_errors": Rule(How.COUNTED),
    "gpu.lost_ms": Rule(How.TRAILING),
    "cpu.mode_ms": Rule(How.STEADY),
    "cpu.energy_mj": Rule(How.COUNTED, 10**6),
    "machine.energy_mj": Rule(How.COUNTED, 10**6),
    "chassis.energy_mj": Rule(How.COUNTED, 10**6),
    "memory.used_mib_s": Rule(How.HOLDING, 2**20 * 1000),
    "pressure.some_us": Rule(How.STEADY),
    "pressure.full_us": Rule(How.STEADY),
    "block.read_bytes": Rule(How.COUNTED),
    "block.written_bytes": Rule(How.COUNTED),
    "port.rx_bytes": Rule(How.COUNTED),
    "port.tx_bytes": Rule(How.COUNTED),
    "agent.spool_dropped_reports": Rule(How.COUNTED),
    "agent.spool_lost_bytes": Rule(How.COUNTED),
}

WRAP: Final = 2**32
BEFORE_ALL: Final = -1
"""A serial that every device is younger than: at boot all counters were zero."""


class Mark(NamedTuple):
    """A device's last believed raw value, and when on the boot-time clock."""

    value: int
    up_ms: int


@dataclass(frozen=True, slots=True)
class Origin:
    """All that must survive: raw values and sums together, with the report they made."""

    server: str
    boot_id: str
    origin: str
    since_ms: int
    seq: int
    at_ms: int
    at_up_ms: int
    serial_hi: int
    sums: dict[Series, int] = field(default_factory=dict)
    marks: dict[Series, Mark] = field(default_factory=dict)
    """By (meter, device)."""
    shown: tuple[Series, ...] = ()
    """The series that were there at the latest look."""
    gone: dict[Series, int] = field(default_factory=dict)
    """The series that are not there any more, and still shown: since the report of this number with
    their final sum, until that one or a later one is delivered. Their sums stay.
    """
    names: dict[str, Card] = field(default_factory=dict)
    """Which card reports under which resource; goes on into the next origin."""
    former: tuple[Report, ...] = ()
    """The last reports of earlier origins, as far as not known to be delivered."""


def from_boot(server: str, boot_id: str, origin: str, reading: Reading) -> Origin:
    """An origin whose counters were zero at boot: what the kernel shows now is its usage.

    NIC bytes and CPU time start at zero there. Levels are integrated and start at the first look.
    """
    since_ms = reading.at_ms - reading.at_up_ms
    return Origin(server, boot_id, origin, since_ms, 0, since_ms, 0, BEFORE_ALL)


def from_now(server: str, boot_id: str, origin: str, reading: Reading) -> Origin:
    """An origin that begins with this reading: what was before is unknown, so it is not counted."""
    at_ms, up_ms = reading.at_ms, reading.at_up_ms
    return Origin(server, boot_id, origin, at_ms, 0, at_ms, up_ms, reading.serial_hi)


def integrate(origin: Origin, reading: Reading, observed_ms_max: int) -> tuple[Origin, list[str]]:
    """The sums after a reading of some meters, and a sentence for each value not believed."""
    sums, marks = dict(origin.sums), dict(origin.marks)
    names, samples = named(origin.names, reading.samples)
    reading = replace(reading, samples=samples)
    left_out = beyond_a_report(origin.sums, reading.samples)
    notes = [
        f"{meter} of {name} is left out: a report is full with {len(sums)} series"
        for meter, name in left_out
    ]
    for sample in reading.samples:
        series = (sample.meter, sample.resource)
        if series in left_out:
            continue
        gained, mark, note = _step(sample, origin, reading, observed_ms_max)
        sums[series] = sums.get(series, 0) + gained
        marks[sample.meter, sample.device] = mark
        notes += note
    for series, gained in _gone(origin, reading):
        sums[series] += gained
        del marks[series]
    shown = {key for key in origin.shown if key[0] not in reading.meters}
    shown |= {(sample.meter, sample.resource) for sample in reading.samples} - left_out.keys()
    known = dict.fromkeys(origin.shown, origin.seq + 1) | origin.gone
    after = replace(
        origin,
        serial_hi=max(origin.serial_hi, reading.serial_hi),
        sums=sums,
        marks=_bounded(marks, reading),
        shown=tuple(sorted(shown)),
        names=names,
        gone={series: seq for series, seq in known.items() if series not in shown},
    )
    return after, notes


def numbered(origin: Origin, reading: Reading) -> Origin:
    """The origin as the next report states it; it becomes a report only once it is saved."""
    return replace(origin, seq=origin.seq + 1, at_ms=reading.at_ms, at_up_ms=reading.at_up_ms)


def settled(origin: Origin, delivered: Mapping[str, int]) -> Origin:
    """What the broker has need not be said again. ``delivered``: the highest number that it
    acknowledged, by origin.
    """
    seq = delivered.get(origin.origin, 0)
    return replace(
        origin,
        gone={series: since for series, since in origin.gone.items() if since > seq},
        former=tuple(one for one in origin.former if one.seq > delivered.get(one.origin, 0)),
    )


def shown_value(origin: Origin, series: Series) -> int:
    return origin.sums[series] // RULES[series[0]].divisor


def report(origin: Origin) -> Report:
    """The report of the latest reading; the sender stamps ``sent_up_ms``."""
    values = {key: shown_value(origin, key) for key in sorted((*origin.shown, *origin.gone))}
    fit = [(meter, name, value) for (meter, name), value in values.items() if value <= VALUE_MAX]
    return Report(
        server=origin.server,
        origin=origin.origin,
        since_ms=origin.since_ms,
        seq=origin.seq,
        at_ms=origin.at_ms,
        at_up_ms=origin.at_up_ms,
        sent_up_ms=origin.at_up_ms,
        meter=tuple(meter for meter, _, _ in fit),
        resource=tuple(name for _, name, _ in fit),
        value=tuple(value for _, _, value in fit),
    )


def _step(
    sample: Sample, origin: Origin, reading: Reading, observed_ms_max: int
) -> tuple[int, Mark, list[str]]:
    """What a sample adds to its series, and the device's new mark."""
    how, divisor = RULES[sample.meter]
    mark = origin.marks.get((sample.meter, sample.device))
    here = Mark(sample.value, reading.at_up_ms)
    if sample.level:
        how = How.TRAILING
    if how in (How.HOLDING, How.TRAILING):
        if sample.value * 1000 > per_second_max(sample.meter) * divisor:
            said = f"{sample.meter} of {sample.resource or 'the machine'} shows {sample.value}"
            return 0, mark or Mark(0, reading.at_up_ms), [f"{said}: more than there can be"]
        elapsed_ms = max(0, reading.at_up_ms - mark.up_ms) if mark else 0
        if how is How.HOLDING:
            return (mark.value if mark else 0) * elapsed_ms, here, []
        return sample.value * elapsed_ms if elapsed_ms <= observed_ms_max else 0, here, []
    if mark and how is How.STEADY and sample.value < mark.value:
        return 0, mark, []
    gained = _gained(sample, mark, origin.serial_hi)
    elapsed_ms = max(0, reading.at_up_ms - (mark.up_ms if mark else origin.at_up_ms))
    if gained * 1000 > per_second_max(sample.meter) * divisor * (elapsed_ms + TIME_SLACK_MS):
        # The mark stays: a value that was noise is made up for by the next one, and one that was
        # real becomes possible as time passes.
        said = f"{sample.meter} of {sample.resource or 'the machine'} shows {sample.value}"
        return 0, mark or Mark(0, origin.at_up_ms), [f"{said}: more than {elapsed_ms} ms allow"]
    return gained, here, []


def _gained(sample: Sample, mark: Mark | None, serial_hi: int) -> int:
    """In fine units."""
    if mark is None:
        return sample.value * sample.unit if sample.serial > serial_hi else 0
    forward = sample.value - mark.value
    if forward >= 0:
        return forward * sample.unit
    wrap = sample.wrap or (WRAP if sample.bits == 32 else 0)
    if mark.value < wrap and forward + wrap < wrap // 2:
        return (forward + wrap) * sample.unit
    return sample.value * sample.unit


def _gone(origin: Origin, reading: Reading) -> Iterator[tuple[Series, int]]:
    """Levels that end with this reading, and what they add: unmounted space held until now, what a
    GPU did since the last look nobody knows. Both start anew when they are back.
    """
    seen = {(sample.meter, sample.device) for sample in reading.samples}
    for series, mark in origin.marks.items():
        if series[0] not in reading.meters or series in seen:
            continue
        how = RULES[series[0]].how
        if how is How.HOLDING:
            yield series, mark.value * max(0, reading.at_up_ms - mark.up_ms)
        elif how is How.TRAILING:
            yield series, 0


def _bounded(marks: dict[Series, Mark], reading: Reading) -> dict[Series, Mark]:
    """Where NICs come and go by the thousand, those that are gone are forgotten, beyond a bound."""
    if len(marks) <= 2 * SERIES_MAX:
        return marks
    seen = {(sample.meter, sample.device) for sample in reading.samples}
    return {key: mark for key, mark in marks.items() if key in seen or key[0] not in reading.meters}
