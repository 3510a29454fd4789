"""The hot path: all ordinary reports of a chunk at once, the others one by one. Pure.

A server is *ordinary* in a chunk when every report of it continues the running origin with the same
series, a higher seq, a later time and plausible gains. Its reports become rows of a matrix;
differences, window shares and sums are taken over all servers with equally many series together.
Any other server goes to ``pipeline.counters`` report by report. Both reach the same result, so no
server's depends on the others in its chunk.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.admit import Rules
from pipeline.counters import DAY_MS, take
from pipeline.heads import SEEN, Anchor, Output, Reading, objects
from pipeline.pour import Rows, firsts, pour
from pipeline.records import Batch, Bools, Int64s
from pipeline.shelves import Heads, Shelf
from schemas.meters import TIME_SLACK_MS
from schemas.verdict import Verdict

_SPAN_MS_MAX = 2**31
"""Longer intervals could overflow the split in 64 bits; 24 days of silence is not ordinary."""
_QUANTITY_MAX = 2**62
"""Half of what 64 bits hold: an open window plus a gain cannot wrap."""
_PER_SECOND_MAX = 2**40
"""Times the seconds of the longest span it fits 64 bits; who gains more is looked at one by one."""


CLOCK = "clock"
"""The flag of a server whose wall clock was overruled."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A report that the chains refused: its row in the batch, the verdict, one sentence."""

    row: int
    verdict: Verdict
    detail: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """What the batch does not hold: corrected reading times, offsets, registrations."""

    at_ms: Int64s
    offset: Int64s
    registered_ms: Mapping[str, int]
    corrected: frozenset[int] = frozenset()
    """Rows whose clock was overruled."""


def meter(batch: Batch, arrival: Arrival, heads: Heads, out: Output, rules: Rules) -> list[Refused]:
    """Meter every report of ``batch`` in order of its server; returns those the chains refused."""
    width, place = heads.find(batch.server)
    names, origin = objects(batch.names), objects(batch.origin)
    one_by_one = width < 0
    for size in np.flatnonzero(np.bincount(width[~one_by_one])).tolist():
        shelf, row = heads.shelves[size], np.flatnonzero(width == size)
        row = row[np.argsort(place[row], kind="stable")]
        at = place[row]
        same = (shelf.names[at] == names[row]) & (shelf.origin[at] == origin[row])
        good = _all_of_server(at, same.astype(np.bool_) & shelf.whole[at])
        one_by_one[row[~good]] = True
        rejected = _meter_shelf(shelf, row[good], at[good], batch, arrival, out, rules)
        one_by_one[rejected] = True
    refused: list[Refused] = []
    for index in np.flatnonzero(one_by_one).tolist():
        verdict, detail = take(heads, _reading(batch, arrival, index), out, rules)
        out.counts[verdict.value] += 1
        if index in arrival.corrected:
            heads.flag(batch.server[index], CLOCK)
        out.corrected += verdict is Verdict.ACCEPTED and index in arrival.corrected
        if verdict.refused:
            refused.append(Refused(index, verdict, detail))
    return refused


def _all_of_server(place: Int64s, good: Bools) -> Bools:
    """Which rows belong to servers all of whose rows are good; ``place`` is sorted."""
    first = firsts(place)
    if not len(place) or len(first) == len(place):
        return good
    every: Bools = np.logical_and.reduceat(good, first)
    return np.repeat(every, np.diff(np.append(first, len(place))))


def _reading(batch: Batch, arrival: Arrival, row: int) -> Reading:
    server = batch.server[row]
    return Reading(
        server=server,
        origin=batch.origin[row],
        since_ms=int(batch.since_ms[row]),
        seq=int(batch.seq[row]),
        at_ms=int(arrival.at_ms[row]),
        up_ms=int(batch.at_up_ms[row]),
        names=batch.names[row],
        value=batch.row(row),
        content=int(batch.content[row]),
        offset=int(arrival.offset[row]),
        append_ms=int(batch.append_ms[row]),
        registered_ms=arrival.registered_ms.get(server, 0),
    )


def _meter_shelf(
    shelf: Shelf,
    row: Int64s,
    at: Int64s,
    batch: Batch,
    arrival: Arrival,
    out: Output,
    rules: Rules,
) -> Int64s:
    """Rows that continue their origins; returns those that turned out not to be ordinary."""
    if not len(row):
        return row
    rows = _gather(shelf, row, at, batch, arrival)
    ordinary = _all_of_server(at, _plausible(rows, shelf))
    if not ordinary.all():
        rows = rows.only(ordinary)
    if len(rows.row):
        _anchor_days(shelf, rows, arrival, out)
        pour(shelf, rows, out, rules.gap_limit_ms)
        _advance(shelf, rows, batch)
        out.counts[Verdict.ACCEPTED.value] += len(rows.row)
        if arrival.corrected:
            wrong = np.isin(rows.row, list(arrival.corrected))
            shelf.flagged[rows.place[wrong]] = CLOCK
            out.corrected += int(np.count_nonzero(wrong))
    return row[~ordinary]


def _gather(shelf: Shelf, row: Int64s, place: Int64s, batch: Batch, arrival: Arrival) -> Rows:
    size = shelf.width
    if len(batch.value) == len(batch) * size and (np.diff(batch.start) == size).all():
        value = batch.value.reshape(-1, size)[row]
    else:
        value = batch.value[batch.start[row][:, np.newaxis] + np.arange(size)]
    again = np.flatnonzero(place[1:] == place[:-1]) + 1

    def before(column: Int64s, own: Int64s) -> Int64s:
        """One reading earlier: the head's, and for further reports of a server the one before."""
        earlier = own[place]
        earlier[again] = column[again - 1]
        return earlier

    at, up, seq = arrival.at_ms[row], batch.at_up_ms[row], batch.seq[row]
    return Rows(
        row, place, at, up, seq, value, before(at, shelf.at_ms), before(up, shelf.up_ms),
        before(seq, shelf.seq_hi), before(value, shelf.last),
    )  # fmt: skip


def _plausible(rows: Rows, shelf: Shelf) -> Bools:
    """Which rows continue their chains: the rules of ``counters``, without overflow."""
    gain = rows.value - rows.prev_value
    seconds = np.maximum(1, -((rows.prev_up - TIME_SLACK_MS - rows.up) // 1000))
    bounds = np.minimum(shelf.bounds, _PER_SECOND_MAX)[shelf.bound[rows.place]]
    within = (gain >= 0) & (
        gain <= bounds * np.minimum(seconds, _SPAN_MS_MAX // 1000)[:, np.newaxis]
    )
    small = (rows.value | shelf.open[rows.place]) < _QUANTITY_MAX
    good: Bools = (
        (rows.seq > rows.prev_seq)
        & (rows.at > rows.prev_at)
        & (rows.at - rows.prev_at < _SPAN_MS_MAX)
        & (within & small).all(axis=1)
    )
    return good


def _anchor_days(shelf: Shelf, rows: Rows, arrival: Arrival, out: Output) -> None:
    for i in np.flatnonzero(rows.at // DAY_MS > rows.prev_at // DAY_MS).tolist():
        place = int(rows.place[i])
        out.anchors.append(
            Anchor(
                shelf.server[place], shelf.origin[place], int(rows.at[i]), "daily",
                int(rows.seq[i]), shelf.names[place], rows.value[i].copy(),
                int(arrival.offset[rows.row[i]]),
            )
        )  # fmt: skip


def _advance(shelf: Shelf, rows: Rows, batch: Batch) -> None:
    """Move the heads to the last of their reports, and mark all of them as seen."""
    place, seq = rows.place, rows.seq
    last = rows.last_of_server
    newest = np.repeat(seq[last], rows.reports_of_server)
    for i in np.flatnonzero(seq - rows.prev_seq > 1).tolist():
        skipped = np.arange(max(int(rows.prev_seq[i]) + 1, int(newest[i]) - SEEN + 1), int(seq[i]))
        shelf.seen[place[i], skipped % SEEN] = 0
    near = seq > newest - SEEN
    shelf.seen[place[near], seq[near] % SEEN] = batch.content[rows.row[near]]
    at = place[last]
    shelf.seq_hi[at], shelf.at_ms[at], shelf.up_ms[at] = seq[last], rows.at[last], rows.up[last]
    shelf.last[at] = rows.value[last]
    shelf.dirty[at] = True
