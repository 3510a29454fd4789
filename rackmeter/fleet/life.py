"""The readings of one server over its life: cumulative counters, origin by origin. Pure.

A life has ``n`` readings of ``k`` series. A counter is zero at its origin's ``since_ms``; a series
that appears later is zero until the reading before its first one.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rackmeter.fleet import shapes
from rackmeter.fleet.plan import FleetPlan, Int64s, Machine, hex_id
from schemas.report import Report

_BOOT_MS_MIN, _BOOT_MS_MAX = 40_000, 240_000  # a server is down this long while it reboots
_SILENT_SLOTS_MIN, _SILENT_SLOTS_MAX = 24, 72  # two to six hours


@dataclass(frozen=True, eq=False)
class Life:
    """Everything one server's agent knew. Rows are readings, in order of time."""

    machine: Machine
    meter: tuple[str, ...]
    resource: tuple[str, ...]
    first: tuple[int, ...]
    """The first reading that has each series."""
    origins: tuple[str, ...]
    since_ms: tuple[int, ...]
    """Of each origin."""
    up_ms: tuple[int, ...]
    """Uptime at the ``since_ms`` of each origin: an agent may be installed long after the boot."""
    at_ms: Int64s
    origin: Int64s
    """Index into ``origins``, of each reading."""
    seq: Int64s
    """0 where no reading was taken."""
    value: Int64s
    """Shape (n, k)."""

    def __len__(self) -> int:
        return len(self.at_ms)

    @cached_property
    def taken(self) -> list[int]:
        """Indices of the readings that were taken."""
        return np.flatnonzero(self.seq).tolist()

    def readings_of(self, origin: int) -> list[int]:
        """The readings that were taken under an origin."""
        return np.flatnonzero((self.origin == origin) & (self.seq > 0)).tolist()

    def at(self, reading: int) -> int:
        """When a reading was taken."""
        return int(self.at_ms[reading])

    def counter(self, reading: int, column: int) -> int:
        """What a series showed at a reading."""
        return int(self.value[reading, column])

    def columns(self, reading: int) -> list[int]:
        """The series that a reading has."""
        return [column for column, first in enumerate(self.first) if first <= reading]

    def report(self, reading: int, now_ms: int) -> Report:
        """A reading as a report that is sent at ``now_ms``, perhaps weeks later."""
        columns = self.columns(reading)
        origin, at_ms = int(self.origin[reading]), self.at(reading)
        at_up_ms = self.up_ms[origin] + at_ms - self.since_ms[origin]
        return Report(
            server=self.machine.id,
            origin=self.origins[origin],
            since_ms=self.since_ms[origin],
            seq=int(self.seq[reading]),
            at_ms=at_ms,
            at_up_ms=at_up_ms,
            sent_up_ms=at_up_ms + now_ms - at_ms,
            meter=tuple(self.meter[column] for column in columns),
            resource=tuple(self.resource[column] for column in columns),
            value=tuple(self.counter(reading, column) for column in columns),
        )


def live(plan: FleetPlan, machine: Machine) -> Life:
    """The whole life of a machine: from its installation to one reading past the period."""
    rng = plan.rng(3, machine.index)
    since_ms = plan.start_ms - machine.lead_slots * plan.interval_ms
    first_ms = since_ms + (machine.phase_ms or plan.interval_ms)
    readings = (plan.end_ms - first_ms) // plan.interval_ms + 2
    at_ms = first_ms + np.arange(readings, dtype=np.int64) * plan.interval_ms
    reboot = _event(rng, machine.reboot, readings, 0)
    silent = _event(rng, machine.silent, readings, 1)
    new_nic = _event(rng, machine.new_nic, readings, 2)
    sinces = [since_ms]
    if reboot:
        sinces.append(int(at_ms[reboot - 1]) + int(rng.integers(_BOOT_MS_MIN, _BOOT_MS_MAX)))
    before = np.concatenate([[since_ms], at_ms[:-1]])
    if reboot:
        before[reboot] = sinces[1]
    meter, resource, used = _usage(rng, machine, at_ms, at_ms - before)
    first = tuple(new_nic if name == "eth1" else 0 for name in resource)
    origin = (np.arange(readings) >= reboot).astype(np.int64) * bool(reboot)
    return Life(
        machine=machine,
        meter=meter,
        resource=resource,
        first=first,
        origins=tuple(hex_id(rng) for _ in sinces),
        since_ms=tuple(sinces),
        up_ms=(int(rng.integers(30_000, 30 * shapes.DAY_MS)), 20_000)[: len(sinces)],
        at_ms=at_ms,
        origin=origin,
        seq=_sequence(rng, readings, reboot, silent),
        value=_counters(used, first, reboot),
    )


def _event(rng: np.random.Generator, happens: bool, readings: int, third: int) -> int:
    """The reading at which something happens, each kind in its own third of the life; 0: never."""
    at = int(rng.integers(readings * (4 * third + 1) // 12, readings * (4 * third + 3) // 12 + 1))
    return at if happens else 0


def _usage(
    rng: np.random.Generator, machine: Machine, at_ms: Int64s, took_ms: Int64s
) -> tuple[tuple[str, ...], tuple[str, ...], Int64s]:
    """Meter, resource and use of each interval, column by column."""
    names: list[tuple[str, str]] = [("cpu.busy_ms", "")]
    columns = [shapes.processor(rng, machine, at_ms, took_ms)[:, None]]
    for nic in machine.nics:
        names += [("net.rx_bytes", nic), ("net.tx_bytes", nic)]
        columns.append(shapes.traffic(rng, machine, at_ms, took_ms))
    for mount in machine.mounts:
        names.append(("disk.used_mib_s", mount))
        columns.append(shapes.storage(rng, len(at_ms), took_ms)[:, None])
    for gpu in machine.gpus:
        names += [("gpu.busy_ms", gpu), ("gpu.alloc_ms", gpu)]
        columns.append(shapes.gpu(rng, len(at_ms), took_ms))
    meter, resource = zip(*names, strict=True)
    return meter, resource, np.concatenate(columns, axis=1)


def _counters(used: Int64s, first: tuple[int, ...], reboot: int) -> Int64s:
    """What a counter shows at each reading: zero before its series exists, and again at a boot."""
    for column, reading in enumerate(first):
        used[:reading, column] = 0
    value: Int64s = np.cumsum(used, axis=0)
    if reboot:
        value[reboot:] -= value[reboot - 1].copy()
    return value


def _sequence(rng: np.random.Generator, readings: int, reboot: int, silent: int) -> Int64s:
    """Sequence numbers from 1 in each origin; a silent agent takes no reading, uses no number."""
    taken = np.ones(readings, np.int64)
    if silent:
        length = int(rng.integers(_SILENT_SLOTS_MIN, _SILENT_SLOTS_MAX))
        taken[silent : silent + min(length, readings // 6)] = 0
    seq = np.cumsum(taken)
    if reboot:
        seq[reboot:] -= seq[reboot - 1]
    return seq * taken
