"""Five-minute windows: half-open, UTC, aligned to the epoch; and the exact split of a difference.

Pure. Usage between two readings is taken to have happened evenly over ``[t0, t1)``. The share of a
window is the difference of cumulative floors, so the shares always sum to the whole.
"""

import numpy as np

from pipeline.records import Int64s
from schemas.spans import WIDTH_MS as WIDTH_MS  # noqa: PLC0414  # a word of this module too


def window_ms(t_ms: int) -> int:
    """Start of the window that holds the instant ``t_ms``."""
    return t_ms - t_ms % WIDTH_MS


def spread(deltas: Int64s, t0_ms: int, t1_ms: int) -> tuple[Int64s, Int64s]:
    """Split differences of one interval ``[t0, t1)`` over the windows it touches.

    Returns the window starts, shape ``(m,)``, and the parts, shape ``(m, len(deltas))``. What was
    used in the first ``d`` of ``T`` milliseconds is ``floor(delta × d / T)``. An interval that is
    not positive gives everything to the window of ``t1 − 1 ms``.

    Exact in 64 bits for less than 2**36 ms (two years): with ``q, r = divmod(delta, T)`` and window
    ends ``d0 + n × W``, the floor is ``q × d + n × (r × W // T) + r × d0 // T`` and what the
    remainders of these two make up; no product passes 2**55.
    """
    if t1_ms <= t0_ms:
        return np.array([window_ms(t1_ms - 1)]), deltas[np.newaxis].copy()
    starts = np.arange(window_ms(t0_ms), t1_ms, WIDTH_MS)
    if len(starts) == 1:
        return starts, deltas[np.newaxis].copy()
    total, head = t1_ms - t0_ms, window_ms(t0_ms) + WIDTH_MS - t0_ms
    nth = np.arange(len(starts) - 1)[:, np.newaxis]
    quotient, remainder = np.divmod(deltas, total)
    step, step_rest = np.divmod(remainder * WIDTH_MS, total)
    first, first_rest = np.divmod(remainder * head, total)
    upto = np.empty((len(starts), len(deltas)), np.int64)
    upto[:-1] = quotient * (head + nth * WIDTH_MS)
    upto[:-1] += nth * step + first + (first_rest + nth * step_rest) // total
    upto[-1] = deltas
    upto[1:] -= upto[:-1].copy()
    return starts, upto


def overlaps(t0_ms: int, t1_ms: int) -> list[tuple[int, int]]:
    """``(window start, milliseconds)`` of each window that ``[t0, t1)`` touches."""
    starts = range(window_ms(t0_ms), t1_ms, WIDTH_MS)
    return [(w, min(w + WIDTH_MS, t1_ms) - max(w, t0_ms)) for w in starts]
