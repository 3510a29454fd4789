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

from pipeline.admit import remember
from pipeline.counters import DAY_MS, Rules, take
from pipeline.heads import Anchor, Head, Output, Reading
from pipeline.pour import Bools, Rows, firsts, pour
from pipeline.records import Batch, Int64s, Names
from schemas.meters import TIME_SLACK_MS
from schemas.verdict import Verdict

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
    first = firsts(rows.server)
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
    pour(heads, rows, names, out, rules.gap_limit_ms)
    _advance(heads, rows, batch)
    out.counts[Verdict.ACCEPTED.value] += len(rows.row)
    out.dirty.update(head.server for head in heads)
    return rejected


def _gather(
    heads: list[Head], rows_of: dict[str, list[int]], batch: Batch, arrival: Arrival, size: int
) -> Rows:
    lists = [rows_of[head.server] for head in heads]
    row = np.array([r for rows in lists for r in rows])
    server = np.repeat(np.arange(len(heads)), [len(rows) for rows in lists])
    first = firsts(server)
    value = batch.value[batch.start[row][:, np.newaxis] + np.arange(size)]
    at, up, seq = arrival.at_ms[row], batch.at_up_ms[row], batch.seq[row]

    def before(column: Int64s, initial: list[int]) -> Int64s:
        shifted = np.roll(column, 1)
        shifted[first] = initial
        return shifted

    prev_value = np.roll(value, 1, axis=0)
    prev_value[first] = [head.chains.last for head in heads]
    return Rows(
        row, server, at, up, seq, value,
        before(at, [head.chains.at_ms for head in heads]),
        before(up, [head.chains.up_ms for head in heads]),
        before(seq, [head.chains.seq_hi for head in heads]),
        prev_value,
    )  # fmt: skip


def _plausible(rows: Rows, names: Names) -> Bools:
    """Which rows continue their chains: the rules of ``counters``, without overflow."""
    gain = rows.value - rows.prev_value
    seconds = np.maximum(1, -((rows.prev_up - TIME_SLACK_MS - rows.up) // 1000))
    within = -(-gain // seconds[:, np.newaxis]) <= names.per_second_max
    good: Bools = (
        (rows.seq > rows.prev_seq)
        & (rows.at > rows.prev_at)
        & (rows.at - rows.prev_at < _SPAN_MS_MAX)
        & ((gain >= 0) & within & (rows.value < _QUANTITY_MAX)).all(axis=1)
    )
    return good


def _anchor_days(
    heads: list[Head], rows: Rows, batch: Batch, arrival: Arrival, out: Output
) -> None:
    for i in np.flatnonzero(rows.at // DAY_MS > rows.prev_at // DAY_MS):
        head, row = heads[rows.server[i]], int(rows.row[i])
        out.anchors.append(
            Anchor(
                head.server, head.chains.origin, int(rows.at[i]), "daily", int(rows.seq[i]),
                head.chains.names, rows.value[i].copy(), int(arrival.offset[row]),
            )
        )  # fmt: skip


def _advance(heads: list[Head], rows: Rows, batch: Batch) -> None:
    first = firsts(rows.server)
    end = np.append(first[1:], len(rows.server))
    content = batch.content[rows.row]
    for i, head in enumerate(heads):
        a, z = int(first[i]), int(end[i])
        chains = head.chains
        remember(head, rows.seq[a:z], content[a:z])
        chains.last = rows.value[z - 1].copy()
        chains.at_ms, chains.up_ms = int(rows.at[z - 1]), int(rows.up[z - 1])
