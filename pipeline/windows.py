"""Five-minute windows: half-open, UTC, aligned to the epoch; and the exact split of a difference.

Pure. Usage between two readings is taken to have happened evenly over ``[t0, t1)``. The share of a
window is the difference of cumulative floors, so the shares always sum to the whole.
"""

from typing import Final

WIDTH_MS: Final = 300_000
"""Divides 15 minutes, so midnight of every time zone is a window edge."""


def window_ms(t_ms: int) -> int:
    """Start of the window that holds the instant ``t_ms``."""
    return t_ms - t_ms % WIDTH_MS


def share(delta: int, elapsed: int, total: int) -> int:
    """Usage in the first ``elapsed`` of ``total`` milliseconds: ``floor(delta × elapsed / total)``.

    Written so that it cannot overflow 64 bits while ``total`` stays below 2**31.
    """
    quotient, remainder = divmod(delta, total)
    return quotient * elapsed + remainder * elapsed // total


def split(delta: int, t0_ms: int, t1_ms: int) -> list[tuple[int, int]]:
    """``(window start, quantity)`` of each window that ``[t0, t1)`` touches, in order.

    An interval that is not positive gives everything to the window of ``t1 − 1 ms``.
    """
    if t1_ms <= t0_ms:
        return [(window_ms(t1_ms - 1), delta)]
    parts: list[tuple[int, int]] = []
    before, start = 0, window_ms(t0_ms)
    while start < t1_ms:
        upto = share(delta, min(start + WIDTH_MS, t1_ms) - t0_ms, t1_ms - t0_ms)
        parts.append((start, upto - before))
        before, start = upto, start + WIDTH_MS
    return parts


def overlaps(t0_ms: int, t1_ms: int) -> list[tuple[int, int]]:
    """``(window start, milliseconds)`` of each window that ``[t0, t1)`` touches."""
    starts = range(window_ms(t0_ms), t1_ms, WIDTH_MS)
    return [(w, min(w + WIDTH_MS, t1_ms) - max(w, t0_ms)) for w in starts]
