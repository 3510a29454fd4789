"""Chains of cumulative counters, one report at a time: move the heads, fill the windows. Pure.

A chain is a series of an origin. It is zero at the origin's ``since_ms`` and has used exactly its
highest reading, so nothing here adds up reports: each accepted one moves the head of its chains and
hands what they gained to windows. ``pipeline.meter`` does the same for whole chunks of ordinary
reports; whatever is not ordinary (a new origin, another set of series, a late or doubtful report)
is decided here.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.admit import ACCEPTED, SEEN, Gain, Judgement, fits, gains_of, identify, remember
from pipeline.heads import Chains, Head, LateRow, Output, Reading, conserve
from pipeline.records import Int64s
from pipeline.windows import overlaps, split, window_ms
from schemas.verdict import Verdict

SPREAD_MS_MAX: Final = 400 * 86_400_000
"""Usage is spread over at most this long: an origin that claims to be older fills no million
windows.
"""
DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Rules:
    """What is a setting: the longest time between readings that still counts as observed."""

    gap_limit_ms: int = 900_000


def take(heads: dict[str, Head], reading: Reading, out: Output, rules: Rules) -> Judgement:
    """Judge one report and, when it is accepted, move its head. Others change no total."""
    head = heads.get(reading.server)
    if head is None:
        judged = _first(heads, reading, out)
    elif reading.origin == head.chains.origin:
        judged = identify(head, reading) or _extend(head, reading, out, rules)
    elif tail := out.tails(reading.server).get(reading.origin):
        judged = _extend_tail(tail, reading, out)
    elif reading.since_ms < head.chains.since_ms >= reading.at_ms:
        judged = _precede(head, reading, out)
    else:
        judged = _replace(head, reading, out)
    if head is not None and judged.verdict.refused:
        head.flagged = judged.verdict.value
    if head is not None or judged is ACCEPTED:
        out.dirty.add(reading.server)
    return judged


def _extend(head: Head, reading: Reading, out: Output, rules: Rules) -> Judgement:
    """A newer report of the running origin."""
    chains, t0_ms = head.chains, head.chains.at_ms
    gains, judged = gains_of(chains, reading)
    if judged is not ACCEPTED or (judged := fits(head, gains)) is not ACCEPTED:
        return judged
    if reading.at_ms // DAY_MS > t0_ms // DAY_MS:
        out.anchor(reading, "daily")
    observed = 0 < reading.at_ms - t0_ms <= rules.gap_limit_ms
    cover = dict(overlaps(t0_ms, reading.at_ms)) if observed else {}
    places = head.adopt(reading.names)
    _pour(head, places, gains, cover, reading.at_ms, out)
    _advance(chains, reading, places)
    remember(head, np.array([reading.seq]), np.array([reading.content]))
    return ACCEPTED


def _extend_tail(tail: Chains, reading: Reading, out: Output) -> Judgement:
    """A report of a former origin: what it adds lies in the past, so it becomes late entries."""
    if reading.seq <= tail.seq_hi:
        return Judgement(Verdict.LATE)
    gains, judged = gains_of(tail, reading)
    if judged is not ACCEPTED:
        return judged
    size = len(reading.names)
    windows = _by_window(gains, list(range(size)), reading.at_ms, size)
    for start, qty in sorted(windows.items()):
        out.late.append(LateRow(reading.server, start, reading.names, qty, "tail"))
    places, _ = tail.adopt(reading.names)
    _advance(tail, reading, places)
    tail.seq_hi = reading.seq
    out.dirty_tails.add((reading.server, reading.origin))
    return ACCEPTED


def _first(heads: dict[str, Head], reading: Reading, out: Output) -> Judgement:
    """The first report of a server."""
    t0_ms = _beginning(reading)
    chains = _fresh(reading, t0_ms)
    gains, judged = gains_of(chains, reading)
    if judged is not ACCEPTED:
        return judged
    win_ms = window_ms(min(t0_ms, reading.at_ms - 1))
    empty = np.zeros(len(reading.names), np.int64)
    head = Head(reading.server, chains, np.zeros(SEEN, np.uint16), win_ms, empty)
    heads[reading.server] = head
    _start(head, gains, reading, out)
    return ACCEPTED


def _replace(head: Head, reading: Reading, out: Output) -> Judgement:
    """The first report of another origin: the running one becomes a former one."""
    former = head.chains
    chains = _fresh(reading, max(_beginning(reading), former.at_ms))
    gains, judged = gains_of(chains, reading)
    if judged is not ACCEPTED or (judged := fits(head, gains)) is not ACCEPTED:
        return judged
    tails = out.tails(head.server)
    former.order = len(tails)
    tails[former.origin] = former
    out.dirty_tails.add((head.server, former.origin))
    # The new origin inherits the set of the open window; what it has not reported reads zero.
    chains.names, chains.last = former.names, np.zeros(len(former.names), np.int64)
    chains.absent = dict.fromkeys(range(len(former.names)))
    head.chains = chains
    head.seen = np.zeros(SEEN, np.uint16)
    _start(head, gains, reading, out)
    return ACCEPTED


def _precede(head: Head, reading: Reading, out: Output) -> Judgement:
    """An origin that was over before the running one began, and is heard of only now."""
    tails = out.tails(head.server)
    tail = _fresh(reading, _beginning(reading))
    tail.order = len(tails)
    judged = _extend_tail(tail, reading, out)
    if judged is ACCEPTED:
        tails[reading.origin] = tail
        out.anchor(reading, "opening")
    return judged


def _start(head: Head, gains: list[Gain], reading: Reading, out: Output) -> None:
    out.anchor(reading, "opening")
    places = head.adopt(reading.names)
    _pour(head, places, gains, {}, reading.at_ms, out)
    _advance(head.chains, reading, places)
    remember(head, np.array([reading.seq]), np.array([reading.content]))


def _beginning(reading: Reading) -> int:
    """From when a new origin's usage is spread; its counters are zero at ``since_ms``.

    Never after the reading: what an agent states as its beginning must not pass for a reading.
    """
    begin = max(reading.since_ms, reading.registered_ms, reading.at_ms - SPREAD_MS_MAX)
    return min(begin, reading.at_ms)


def _fresh(reading: Reading, t0_ms: int) -> Chains:
    """An origin before its first report: every series reads zero and none has been seen."""
    return Chains(
        origin=reading.origin, since_ms=reading.since_ms, seq_hi=reading.seq - 1, at_ms=t0_ms,
        up_ms=0, names=reading.names, last=np.zeros(len(reading.names), np.int64),
        absent=dict.fromkeys(range(len(reading.names))), )  # fmt: skip


def _by_window(gains: list[Gain], places: list[int], at_ms: int, size: int) -> dict[int, Int64s]:
    """Quantities by window, in no order; each gain is split over its own interval."""
    windows: dict[int, Int64s] = {}
    for gain in gains:
        for start, part in split(gain.quantity, max(gain.t0_ms, at_ms - SPREAD_MS_MAX), at_ms):
            if start not in windows:
                windows[start] = np.zeros(size, np.int64)
            windows[start][places[gain.i]] += part
    return windows


def _pour(
    head: Head,
    places: list[int],
    gains: list[Gain],
    cover: dict[int, int],
    at_ms: int,
    out: Output,
) -> None:
    """Put gains into windows: before the open one as late entries, after it by finishing it."""
    names = head.chains.names
    windows = _by_window(gains, places, at_ms, len(names))
    for start in cover.keys() - windows.keys():
        windows[start] = np.zeros(len(names), np.int64)
    owed = head.open.copy()
    for gain in gains:
        owed[places[gain.i]] += gain.quantity
    for start, qty in sorted(windows.items()):
        if start < head.win_ms:
            out.late.append(LateRow(head.server, start, names, qty, "late"))
            owed -= qty
            continue
        if start > head.win_ms:
            owed -= head.open
            out.finish(head)
            head.win_ms, head.open, head.cover_ms = start, np.zeros_like(head.open), 0
        head.open += qty
        head.cover_ms += cover.get(start, 0)
    conserve(head.server, owed, head.open)


def _advance(chains: Chains, reading: Reading, places: list[int]) -> None:
    """Move the heads of the reported series; the others keep their own last reading and time."""
    for at in set(range(len(chains.names))).difference(places):
        chains.absent.setdefault(at, (chains.at_ms, chains.up_ms))
    chains.last[places] = reading.value
    for at in places:
        chains.absent.pop(at, None)
    # The wall clock may step back; windows already poured stay where they are.
    chains.at_ms = max(chains.at_ms, reading.at_ms)
    chains.up_ms = reading.up_ms
