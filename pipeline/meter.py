"""The hot path: all ordinary reports of a chunk at once, the others one by one. Pure.

A server is *ordinary* in a chunk when every report of it continues the running origin with the same
series, a higher seq, a later time and plausible gains. Its reports become rows of a matrix;
differences, window shares and sums are taken over all servers together. Any other server goes to
``pipeline.counters`` report by report. Both reach the same result, so no server's depends on the
others in its chunk.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.counters import DAY_MS, SEEN, Rules, take
from pipeline.heads import Anchor, Block, Head, Output, Reading, conserve
from pipeline.records import Batch, Int64s, Names
from pipeline.windows import WIDTH_MS
from schemas.meters import TIME_SLACK_MS
from schemas.verdict import Verdict

_Bools = npt.NDArray[np.bool_]
_SPAN_MS_MAX = 2**31
"""Longer intervals could overflow the split in 64 bits; 24 days of silence is not ordinary."""
_QUANTITY_MAX = 2**62
"""Half of what 64 bits hold: an open window plus a gain cannot wrap."""


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


def meter(
    batch: Batch, arrival: Arrival, heads: dict[str, Head], out: Output, rules: Rules
) -> list[Refused]:
    """Meter every report of ``batch`` in order of its server; returns those the chains refused."""
    rows_of: dict[str, list[int]] = {}
    for row, server in enumerate(batch.server):
        rows_of.setdefault(server, []).append(row)
    groups: dict[int, list[Head]] = {}
    one_by_one: list[str] = []
    for server, rows in rows_of.items():
        head = heads.get(server)
        if head is None or not _continues(head, batch, rows):
            one_by_one.append(server)
        else:
            groups.setdefault(id(head.chains.names), []).append(head)
    for group in groups.values():
        one_by_one += _meter_group(group, rows_of, batch, arrival, out, rules)
    refused: list[Refused] = []
    for server in one_by_one:
        for row in rows_of[server]:
            reading = _reading(batch, arrival, row)
            verdict, detail = take(heads, reading, out, rules)
            out.counts[verdict.value] += 1
            if verdict.refused:
                refused.append(Refused(row, verdict, detail))
    return refused


def _continues(head: Head, batch: Batch, rows: list[int]) -> bool:
    chains = head.chains
    if chains.absent or int(head.open.max(initial=0)) >= _QUANTITY_MAX:
        return False
    names, origin = chains.names, chains.origin
    return all(batch.names[row] is names and batch.origin[row] == origin for row in rows)


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
        registered_ms=arrival.registered_ms.get(server, 0),
    )


@dataclass(slots=True)
class _Rows:
    """Reports of ordinary servers, one after the other; ``prev`` is one reading earlier."""

    row: Int64s
    server: Int64s
    """Index of the row's head in the group."""
    at: Int64s
    up: Int64s
    seq: Int64s
    value: Int64s
    prev_at: Int64s
    prev_up: Int64s
    prev_seq: Int64s
    prev_value: Int64s

    def only(self, keep: _Bools) -> "_Rows":
        return _Rows(*(getattr(self, name)[keep] for name in self.__slots__))


def _meter_group(
    heads: list[Head],
    rows_of: dict[str, list[int]],
    batch: Batch,
    arrival: Arrival,
    out: Output,
    rules: Rules,
) -> list[str]:
    """Servers that share their series; returns those that turned out not to be ordinary."""
    names = heads[0].chains.names
    rows = _gather(heads, rows_of, batch, arrival, len(names))
    first = _firsts(rows.server)
    ordinary = np.logical_and.reduceat(_plausible(rows, names), first)
    if not ordinary.all():
        rejected = [head.server for head, good in zip(heads, ordinary, strict=True) if not good]
        heads = [head for head, good in zip(heads, ordinary, strict=True) if good]
        if not heads:
            return rejected
        rows = rows.only(np.repeat(ordinary, np.diff(np.append(first, len(rows.row)))))
        rows.server = np.repeat(np.arange(len(heads)), [len(rows_of[h.server]) for h in heads])
    else:
        rejected = []
    _anchor_days(heads, rows, batch, arrival, out)
    _pour(heads, rows, names, out, rules.gap_limit_ms)
    _advance(heads, rows, batch)
    out.counts[Verdict.ACCEPTED.value] += len(rows.row)
    out.dirty.update(head.server for head in heads)
    return rejected


def _gather(
    heads: list[Head], rows_of: dict[str, list[int]], batch: Batch, arrival: Arrival, size: int
) -> _Rows:
    lists = [rows_of[head.server] for head in heads]
    row = np.array([r for rows in lists for r in rows])
    server = np.repeat(np.arange(len(heads)), [len(rows) for rows in lists])
    first = _firsts(server)
    value = batch.value[batch.start[row][:, np.newaxis] + np.arange(size)]
    at, up, seq = arrival.at_ms[row], batch.at_up_ms[row], batch.seq[row]

    def before(column: Int64s, initial: list[int]) -> Int64s:
        shifted = np.roll(column, 1)
        shifted[first] = initial
        return shifted

    prev_value = np.roll(value, 1, axis=0)
    prev_value[first] = [head.chains.last for head in heads]
    return _Rows(
        row, server, at, up, seq, value,
        before(at, [head.chains.at_ms for head in heads]),
        before(up, [head.chains.up_ms for head in heads]),
        before(seq, [head.chains.seq_hi for head in heads]),
        prev_value,
    )  # fmt: skip


def _firsts(sorted_ids: Int64s) -> Int64s:
    """Positions where a run of equal ids begins."""
    return np.flatnonzero(np.append(True, sorted_ids[1:] != sorted_ids[:-1]))


def _plausible(rows: _Rows, names: Names) -> _Bools:
    """Which rows continue their chains: the rules of ``counters``, without overflow."""
    gain = rows.value - rows.prev_value
    seconds = np.maximum(1, -((rows.prev_up - TIME_SLACK_MS - rows.up) // 1000))
    within = -(-gain // seconds[:, np.newaxis]) <= names.per_second_max
    good: _Bools = (
        (rows.seq > rows.prev_seq)
        & (rows.at > rows.prev_at)
        & (rows.at - rows.prev_at < _SPAN_MS_MAX)
        & ((gain >= 0) & within & (rows.value < _QUANTITY_MAX)).all(axis=1)
    )
    return good


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Row ``i`` is what one server used in one window; in time order for each server."""

    server: Int64s
    win_ms: Int64s
    qty: Int64s
    cover_ms: Int64s


def _pieces(rows: _Rows, gap_limit_ms: int) -> _Pieces:
    """Split intervals by ``windows.share``; sum what falls into one window of one server."""
    gain, total = rows.value - rows.prev_value, rows.at - rows.prev_at
    start = rows.prev_at - rows.prev_at % WIDTH_MS
    count = -(-(rows.at - start) // WIDTH_MS)
    of = np.repeat(np.arange(len(rows.row)), count)
    nth = np.arange(len(of)) - np.repeat(np.cumsum(count) - count, count)
    win = start[of] + nth * WIDTH_MS
    upto = np.minimum(win + WIDTH_MS, rows.at[of]) - rows.prev_at[of]
    quotient, remainder = np.divmod(gain, total[:, np.newaxis])
    used = quotient[of] * upto[:, np.newaxis]
    used += remainder[of] * upto[:, np.newaxis] // total[of][:, np.newaxis]
    later = nth > 0
    qty, span = used.copy(), upto.copy()
    qty[later] -= used[np.flatnonzero(later) - 1]
    span[later] -= upto[np.flatnonzero(later) - 1]
    span[total[of] > gap_limit_ms] = 0
    server = rows.server[of]
    edge = np.append(True, (server[1:] != server[:-1]) | (win[1:] != win[:-1]))
    begin = np.flatnonzero(edge)
    return _Pieces(
        server[begin], win[begin], np.add.reduceat(qty, begin), np.add.reduceat(span, begin)
    )


def _pour(heads: list[Head], rows: _Rows, names: Names, out: Output, gap_limit_ms: int) -> None:
    """Merge the pieces with the open windows; all but each server's last are finished."""
    pieces = _pieces(rows, gap_limit_ms)
    first = _firsts(pieces.server)
    last = np.append(first[1:], len(pieces.server)) - 1
    opened = np.array([head.open for head in heads])
    open_win = np.array([head.win_ms for head in heads])
    open_cover = np.array([head.cover_ms for head in heads])
    same = pieces.win_ms[first] == open_win
    pieces.qty[first[same]] += opened[same]
    pieces.cover_ms[first[same]] += open_cover[same]

    over = np.flatnonzero(~same)
    server_ids = [head.server for head in heads]
    if len(over):
        servers = [server_ids[i] for i in over]
        out.finished.append(Block(servers, open_win[over], names, opened[over], open_cover[over]))
    done = np.ones(len(pieces.server), np.bool_)
    done[last] = False
    if done.any():
        servers = [server_ids[i] for i in pieces.server[done]]
        out.finished.append(
            Block(servers, pieces.win_ms[done], names, pieces.qty[done], pieces.cover_ms[done])
        )
    _conserve(heads, rows, pieces, opened, same)
    for i, head in enumerate(heads):
        head.win_ms, head.cover_ms = int(pieces.win_ms[last[i]]), int(pieces.cover_ms[last[i]])
        # A copy: a view would keep the whole chunk's matrix alive for as long as the server rests.
        head.open = pieces.qty[last[i]].copy()


def _conserve(
    heads: list[Head], rows: _Rows, pieces: _Pieces, opened: Int64s, same: _Bools
) -> None:
    """Old open window + gained − finished = new open window, for each series of each server."""
    first, first_row = _firsts(pieces.server), _firsts(rows.server)
    last = np.append(first[1:], len(pieces.server)) - 1
    last_row = np.append(first_row[1:], len(rows.server)) - 1
    finished = np.add.reduceat(pieces.qty, first) - pieces.qty[last]
    finished[~same] += opened[~same]
    owed = opened + rows.value[last_row] - rows.prev_value[first_row] - finished
    wrong = (owed != pieces.qty[last]).any(axis=1)
    for i in np.flatnonzero(wrong):
        conserve(heads[i].server, owed[i], pieces.qty[last[i]])


def _anchor_days(
    heads: list[Head], rows: _Rows, batch: Batch, arrival: Arrival, out: Output
) -> None:
    for i in np.flatnonzero(rows.at // DAY_MS > rows.prev_at // DAY_MS):
        head, row = heads[rows.server[i]], int(rows.row[i])
        out.anchors.append(
            Anchor(
                head.server, head.chains.origin, int(rows.at[i]), "daily", int(rows.seq[i]),
                head.chains.names, rows.value[i].copy(), int(arrival.offset[row]),
            )
        )  # fmt: skip


def _advance(heads: list[Head], rows: _Rows, batch: Batch) -> None:
    first = _firsts(rows.server)
    end = np.append(first[1:], len(rows.server))
    content = batch.content[rows.row]
    for i, head in enumerate(heads):
        a, z = int(first[i]), int(end[i])
        chains = head.chains
        _remember(head, rows.seq[a:z], content[a:z])
        chains.last = rows.value[z - 1].copy()
        chains.at_ms, chains.up_ms = int(rows.at[z - 1]), int(rows.up[z - 1])


def _remember(head: Head, seq: Int64s, content: Int64s) -> None:
    """Mark these reports as seen and the skipped ones as not."""
    before, newest = head.chains.seq_hi, int(seq[-1])
    if newest - before != len(seq):
        skipped = np.arange(max(before + 1, newest - SEEN + 1), newest + 1)
        head.seen[skipped % SEEN] = 0
    near = seq > newest - SEEN
    head.seen[seq[near] % SEEN] = content[near]
    head.chains.seq_hi = newest
