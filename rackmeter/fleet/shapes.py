"""How much a server uses in each interval. Integers in, integers out; pure.

The figures are ordinary ones of a rental fleet: a quiet night, a slower week-end, bursts, a few
customers who fill their line, disks that fill up, GPUs that are held for hours.
"""

from typing import Final

import numpy as np

from rackmeter.fleet.plan import Int64s, Machine

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS

# Share of the daily peak, per mille, at each full hour UTC; a European customer base.
_NIGHT_TO_NOON: Final = (420, 330, 270, 240, 230, 250, 330, 460, 590, 680, 740, 780)
_NOON_TO_NIGHT: Final = (800, 810, 800, 790, 810, 860, 930, 990, 1000, 940, 780, 580)
_DAY: Final = np.array([*_NIGHT_TO_NOON, *_NOON_TO_NIGHT], np.int64)
_WEEKEND_PERMILLE: Final = 820
_MBIT: Final = 125_000  # bytes a second
_LINE_MBIT: Final = 1_000
_PPM: Final = 1_000_000


def daily(at_ms: Int64s) -> Int64s:
    """Share of the peak at each instant, per mille, interpolated between full hours."""
    hour, rest = np.divmod(at_ms % DAY_MS, HOUR_MS)
    share: Int64s = (_DAY[hour] * (HOUR_MS - rest) + _DAY[(hour + 1) % 24] * rest) // HOUR_MS
    # 1970-01-01 was a Thursday: days 2 and 3 of each week counted from it are the week-end.
    weekend = (at_ms // DAY_MS) % 7 // 2 == 1
    return np.where(weekend, share * _WEEKEND_PERMILLE // 1000, share)


def traffic(rng: np.random.Generator, machine: Machine, at_ms: Int64s, took_ms: Int64s) -> Int64s:
    """Bytes received and sent by one network card, shape (n, 2)."""
    peak = int(rng.integers(150, 420)) if machine.heavy else int(rng.integers(1, 24))
    shape = daily(at_ms) * bursts(rng, len(at_ms)) // 1000
    sent = _jitter(rng, shape * (peak * _MBIT // 1000), 250_000)
    share = int(rng.integers(60, 400))  # received bytes, per mille of those sent
    received = _jitter(rng, sent * share // 1000, 150_000)
    most = _LINE_MBIT * _MBIT
    per_second = np.minimum(np.stack([received, sent], axis=1), most)
    # The last bytes are never round.
    return per_second * took_ms[:, None] // 1000 + rng.integers(0, 1500, per_second.shape)


def bursts(rng: np.random.Generator, slots: int) -> Int64s:
    """Factor per mille: 1000, and two to five times that for half an hour to three hours."""
    factor = np.full(slots, 1000, np.int64)
    for start in np.flatnonzero(rng.integers(0, 400, slots) == 0).tolist():
        length = int(rng.integers(6, 36))
        factor[start : start + length] = int(rng.integers(2000, 5000))
    return factor


def processor(rng: np.random.Generator, machine: Machine, at_ms: Int64s, took_ms: Int64s) -> Int64s:
    """Busy milliseconds of all cores."""
    peak_ppm = int(rng.integers(60_000, 750_000))
    share = np.minimum(_jitter(rng, daily(at_ms) * peak_ppm // 1000, 300_000), 990_000)
    return took_ms * machine.cores * share // _PPM


def storage(rng: np.random.Generator, slots: int, took_ms: Int64s) -> Int64s:
    """MiB·s on one file system: a level that grows, breathes and is cleaned up now and then."""
    size_mib = int(rng.integers(100, 4_000)) * 1024
    level = size_mib * int(rng.integers(5, 50)) // 100
    steps = rng.integers(-40, 60, slots)
    used = np.clip(level + np.cumsum(steps), 0, size_mib)
    for start in np.flatnonzero(rng.integers(0, 3000, slots) == 0).tolist():
        used[start:] = used[start:] * 4 // 5
    return used * took_ms // 1000


def gpu(rng: np.random.Generator, slots: int, took_ms: Int64s) -> Int64s:
    """Busy and allocated milliseconds of one GPU, shape (n, 2): jobs of one to sixty hours."""
    held = np.zeros(slots, np.int64)
    at = int(rng.integers(0, 48))
    while at < slots:
        length = int(rng.integers(12, 720))
        held[at : at + length] = 1
        at += length + int(rng.integers(1, 140))
    busy = rng.integers(620_000, 995_000, slots)
    allocated = held * took_ms
    return np.stack([allocated * busy // _PPM, allocated], axis=1)


def _jitter(rng: np.random.Generator, amount: Int64s, ppm: int) -> Int64s:
    """Each amount up to ``ppm`` millionths smaller or larger."""
    return amount + amount // 1000 * rng.integers(-ppm, ppm, len(amount)) // 1000
