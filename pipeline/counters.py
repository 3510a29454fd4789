"""Chains of cumulative counters, one report at a time: move the heads, fill the windows. Pure.

A chain is a series of an origin. It is zero at the origin's ``since_ms`` and has used exactly its
highest reading, so nothing here adds up reports: each accepted one moves the head of its chains and
hands what they gained to windows. ``pipeline.meter`` does the same for whole chunks of ordinary
reports; whatever is not ordinary (a new origin, another set of series, a late or doubtful report)
is decided here.
"""

from collections.abc import MutableMapping
from typing import Final

import numpy as np

from pipeline.admit import (
    ACCEPTED,
    SPREAD_MS_MAX,
    Gain,
    Judgement,
    Rules,
    allow,
    fits,
    gains_of,
    identify,
    remember,
)
from pipeline.heads import SEEN, Allowance, Chains, Head, LateRow, Output, Reading, conserve
from pipeline.records import Int64s, Names
from pipeline.windows import overlaps, spread, window_ms
from schemas.verdict import Verdict

DAY_MS: Final = 86_400_000


def take(
    heads: MutableMapping[str, Head], reading: Reading, out: Output, rules: Rules
) -> Judgement:
    """Judge one report and, when it is accepted, move its head. Others change no total."""
    head = heads.get(reading.server)
    if head is None:
        judged, head = _first(reading, out, rules)
    else:
        judged = _next(head, reading, out, rules)
        if judged.verdict.refused:
            head.flagged = judged.verdict.value
    if head is not None:
        heads[reading.server] = head
    return judged


def _next(head: Head, reading: Reading, out: Output, rules: Rules) -> Judgement:
    """A report of a known server."""
    if reading.origin == head.chains.origin:
        return identify(head, reading) or _extend(head, reading, out, rules)
    if tail := out.tail(reading.server, reading.origin):
        return _extend_tail(head, tail, reading, out, rules)
    if reading.since_ms < head.chains.since_ms >= reading.at_ms:
        return _precede(head, reading, out, rules)
    return _replace(head, reading, out, rules)


def _extend(head: Head, reading: Reading, out: Output, rules: Rules) -> Judgement:
    """A newer report of the running origin."""
    chains, t0_ms = head.chains, head.chains.at_ms
    allowed = allow(head, chains, reading, rules)
    if isinstance(allowed, Judgement):
        return allowed
    gains, judged = gains_of(chains, reading)
    if judged is not ACCEPTED or (judged := fits(head, reading, gains)) is not ACCEPTED:
        return judged
    if reading.at_ms // DAY_MS > t0_ms // DAY_MS:
        out.anchor(reading, "daily")
    observed = 0 < reading.at_ms - t0_ms <= rules.gap_limit_ms
    cover = dict(overlaps(t0_ms, reading.at_ms)) if observed else {}
    places = head.adopt(reading.names)
    _pour(head, places, gains, cover, reading.at_ms, out)
    _advance(chains, reading, places)
    head.forget()
    remember(head, reading)
    head.allowance = allowed
    return ACCEPTED


def _extend_tail(
    head: Head, tail: Chains, reading: Reading, out: Output, rules: Rules, origins: int = 0
) -> Judgement:
    """A report of a former origin: what it adds lies in the past, so it becomes late entries."""
    if reading.seq <= tail.seq_hi:
        return Judgement(Verdict.LATE)
    allowed = allow(head, tail, reading, rules, origins=origins)
    if isinstance(allowed, Judgement):
        return allowed
    gains, judged = gains_of(tail, reading)
    if judged is not ACCEPTED:
        return judged
    size = len(reading.names)
    starts, qty = _by_window(gains, list(range(size)), reading.at_ms, size)
    _late(starts, qty, reading.server, reading.names, "tail", out)
    places, _ = tail.adopt(reading.names)
    _advance(tail, reading, places)
    tail.seq_hi = reading.seq
    out.tails[reading.server, reading.origin] = tail
    head.allowance = allowed
    return ACCEPTED


def _first(reading: Reading, out: Output, rules: Rules) -> tuple[Judgement, Head | None]:
    """The first report of a server."""
    t0_ms = _beginning(reading)
    chains = _fresh(reading, t0_ms)
    win_ms = window_ms(min(t0_ms, reading.at_ms - 1))
    empty = np.zeros(len(reading.names), np.int64)
    head = Head(reading.server, chains, np.zeros(SEEN, np.uint16), win_ms, empty)
    allowed = allow(head, chains, reading, rules, origins=1)
    if isinstance(allowed, Judgement):
        return allowed, None
    gains, judged = gains_of(chains, reading)
    if judged is not ACCEPTED:
        return judged, None
    _start(head, gains, reading, allowed, out)
    return ACCEPTED, head


def _replace(head: Head, reading: Reading, out: Output, rules: Rules) -> Judgement:
    """The first report of another origin: the running one becomes a former one."""
    former = head.chains
    chains = _fresh(reading, max(_beginning(reading), former.at_ms))
    allowed = allow(head, chains, reading, rules, origins=1)
    if isinstance(allowed, Judgement):
        return allowed
    gains, judged = gains_of(chains, reading)
    if judged is not ACCEPTED or (judged := fits(head, reading, gains)) is not ACCEPTED:
        return judged
    out.tails[head.server, former.origin] = former
    # The new origin inherits the set of the open window; what it has not reported reads zero.
    chains.names, chains.last = former.names, np.zeros(len(former.names), np.int64)
    chains.absent = dict.fromkeys(range(len(former.names)))
    chains.order, head.origins = head.origins, head.origins + 1
    head.chains = chains
    head.seen = np.zeros(SEEN, np.uint16)
    _start(head, gains, reading, allowed, out)
    return ACCEPTED


def _precede(head: Head, reading: Reading, out: Output, rules: Rules) -> Judgement:
    """An origin that was over before the running one began, and is heard of only now."""
    tail = _fresh(reading, _beginning(reading))
    tail.order = head.origins
    judged = _extend_tail(head, tail, reading, out, rules, origins=1)
    if judged is ACCEPTED:
        head.origins += 1
        out.anchor(reading, "opening")
    return judged


def _start(
    head: Head, gains: list[Gain], reading: Reading, allowed: Allowance, out: Output
) -> None:
    out.anchor(reading, "opening")
    places = head.adopt(reading.names)
    _pour(head, places, gains, {}, reading.at_ms, out)
    _advance(head.chains, reading, places)
    head.forget()
    remember(head, reading)
    head.allowance = allowed


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


def _by_window(
    gains: list[Gain], places: list[int], at_ms: int, size: int
) -> tuple[Int64s, Int64s]:
    """Window starts, ascending, and quantities ``(windows, size)``; each gain is split over its own
    interval.
    """
    since: dict[int, list[Gain]] = {}
    for gain in gains:
        since.setdefault(gain.t0_ms, []).append(gain)
    parts = [
        (spread(np.array([gain.quantity for gain in group]), t0_ms, at_ms), group)
        for t0_ms, group in since.items()
    ]
    starts = parts[0][0][0]
    if len(parts) > 1:
        starts = np.unique(np.concatenate([own for (own, _), _ in parts]))
    qty = np.zeros((len(starts), size), np.int64)
    for (own, part), group in parts:
        first = int(np.searchsorted(starts, own[0]))
        qty[first : first + len(own), [places[gain.i] for gain in group]] = part
    return starts, qty


def _late(starts: Int64s, qty: Int64s, server: str, names: Names, reason: str, out: Output) -> None:
    for start, row in zip(starts.tolist(), qty, strict=True):
        if row.any():
            out.late.append(LateRow(server, start, names, row, reason))


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
    starts, qty = _by_window(gains, places, at_ms, len(names))
    covered = np.array([cover.get(start, 0) for start in starts.tolist()], np.int64)
    owed = head.open.copy()
    # Modulo 2**64: what lies in later windows may exceed 64 bits beside what is still open.
    owed[[places[gain.i] for gain in gains]] += np.array([gain.quantity for gain in gains])
    late, here = starts < head.win_ms, starts == head.win_ms
    _late(starts[late], qty[late], head.server, names, "late", out)
    head.open += qty[here].sum(axis=0)
    head.cover_ms += int(covered[here].sum())
    after = np.flatnonzero(starts > head.win_ms)
    finished = np.zeros_like(head.open)
    if len(after):
        whole, last = after[:-1], int(after[-1])
        out.finish(head)
        if len(whole):
            out.finish_rows(head, starts[whole], qty[whole], covered[whole])
        finished = head.open + qty[whole].sum(axis=0)
        head.win_ms, head.open, head.cover_ms = int(starts[last]), qty[last], int(covered[last])
    conserve(head.server, owed - qty[late].sum(axis=0) - finished, head.open)


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
