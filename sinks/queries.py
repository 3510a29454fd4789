"""What pricing reads from the ledger: sums over whole windows between the edges of the timelines
and terms.

A window that an edge cuts comes as a row of its own, so that pricing can split it; everything
between two edges is summed by the database. Open windows and late entries are included: a live
figure holds everything that has been committed. Reads only.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from psycopg import Cursor

from pipeline.rating.terms import edges as agreed
from pipeline.windows import WIDTH_MS
from schemas.billing import Inputs, Scope, Span, Usage
from schemas.prices import Sum
from sinks.database import Connection
from sinks.earlier import billed_in_advance, lots, spent
from sinks.samples import samples

WIDTH = timedelta(milliseconds=WIDTH_MS)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PORTION_WINDOWS = 250_000
"""Of 24 series 55 MB: more than is kept in memory would go to the disk."""
MEMORY = "64MB"
"""work_mem of the transaction that reads them."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Windows of a server that are summed into one row a series."""

    server: str
    low: datetime
    high: datetime


def usage_inputs(conn: Connection, scope: Scope, period: Span, as_of: datetime) -> Inputs:
    """The pricing inputs of a scope in a period, as known now, for windows begun before `as_of`."""
    return usage_inputs_bulk(conn, [(scope, period)], as_of)[0]


def usage_inputs_bulk(
    conn: Connection, wanted: Sequence[tuple[Scope, Span]], as_of: datetime
) -> list[Inputs]:
    """The same for many scopes, their usage in one statement, in their order."""
    owners: list[int] = []
    segments: list[Segment] = []
    meters: list[frozenset[str]] = []
    for number, (scope, period) in enumerate(wanted):
        meters.append(charged_meters(scope))
        mine = segments_of(scope, period, as_of) if meters[number] else []
        segments += mine
        owners += [number] * len(mine)
    found: list[list[Usage]] = [[] for _ in wanted]
    for at, usage in sums(conn, segments, sorted(frozenset[str]().union(*meters))):
        if usage.meter in meters[owners[at]]:
            found[owners[at]].append(usage)
    before = zip(
        billed_in_advance(conn, wanted), spent(conn, wanted), lots(conn, wanted), strict=True
    )
    return [
        Inputs(
            period,
            usage=tuple(sorted(rows, key=_order)),
            samples=samples(conn, scope, period, as_of),
            spent=spent_before,
            billed=billed,
            lots=left,
        )
        for (scope, period), rows, (billed, spent_before, left) in zip(
            wanted, found, before, strict=True
        )
    ]


def charged_meters(scope: Scope) -> frozenset[str]:
    """The meters that the scope's charges name; nothing else is read."""
    measured = (row.price.quantity for row in scope.prices)
    return frozenset(
        meter for quantity in measured if isinstance(quantity, Sum) for meter in quantity.meters
    )


def segments_of(scope: Scope, period: Span, as_of: datetime) -> list[Segment]:
    """Cuts each server's assigned time at the timelines' edges, in whole windows.

    edges        |           |
    windows   ····|····|····|····|····
    segments  [   ][  ][       ][    ]      a cut window stands alone
    """
    end = _ceil(as_of if period.end is None else min(period.end, as_of))
    segments: list[Segment] = []
    for server, (spans, edges) in sorted(_by_server(scope, period.start, end).items()):
        cuts = sorted({cut for edge in edges for cut in (_floor(edge), _ceil(edge))})
        for low, high in pairwise(cuts):
            if any(span.clip(low, high) for span in spans):
                segments.append(Segment(server, low, high))
    return segments


def _by_server(
    scope: Scope, start: datetime, end: datetime
) -> dict[str, tuple[list[Span], set[datetime]]]:
    """For each server: when it served the scope within `[start, end)`, and the edges in there."""
    terms = agreed(scope, Span(start, end))
    item_edges = {item.item: {*terms} for item in scope.items}
    timelines = [(item.item, item.valid) for item in scope.items]
    timelines += [(row.item, row.valid) for row in scope.prices]
    timelines += [(row.item, row.valid) for row in scope.intervals]
    for item, span in timelines:
        item_edges[item].update(_edges(span.clip(start, end)))
    found: dict[str, tuple[list[Span], set[datetime]]] = {}
    for row in scope.assignments:
        served = row.valid.clip(start, end)
        if served is not None and row.item in item_edges:
            spans, edges = found.setdefault(row.server, ([], set()))
            spans.append(served)
            edges.update(_edges(served), item_edges[row.item])
    return found


def _edges(span: Span | None) -> Iterable[datetime]:
    return () if span is None or span.end is None else (span.start, span.end)


def _floor(instant: datetime) -> datetime:
    return instant - (instant - EPOCH) % WIDTH


def _ceil(instant: datetime) -> datetime:
    return instant + (EPOCH - instant) % WIDTH


def _order(usage: Usage) -> tuple[str, str, str, datetime]:
    return usage.server, usage.meter, usage.resource, usage.start


def sums(
    conn: Connection, segments: Sequence[Segment], meters: Sequence[str]
) -> Iterable[tuple[int, Usage]]:
    """A segment in one statement, so one snapshot: finished, late and open windows never overlap or
    miss. Whoever wants one of all segments reads in a transaction that has one.
    """
    if not meters:
        return
    portions = list(_portions(segments))
    with conn.pipeline():  # they wait for one another, not each for its answer
        conn.execute("SELECT set_config('work_mem', %s, true)", (MEMORY,))
        found = [_sums(conn, part, meters) for _, part in portions]
    for (first, part), rows in zip(portions, found, strict=True):
        for no, meter, resource, quantity, covered_ms in rows:
            at = part[no]
            usage = Usage(
                at.server, meter, resource, at.low, at.high, int(quantity), int(covered_ms)
            )
            yield first + no, usage


def _portions(segments: Sequence[Segment]) -> Iterable[tuple[int, Sequence[Segment]]]:
    """The place of the first, and segments of ``PORTION_WINDOWS`` together, or one that is longer.

    In order, so that each is a slice.
    """
    first, windows = 0, 0
    for at, segment in enumerate(segments):
        mine = (segment.high - segment.low) // WIDTH
        if at > first and windows + mine > PORTION_WINDOWS:
            yield first, segments[first:at]
            first, windows = at, 0
        windows += mine
    if segments:
        yield first, segments[first:]


def _sums(
    conn: Connection, segments: Sequence[Segment], meters: Sequence[str]
) -> Cursor[tuple[Any, ...]]:
    return conn.execute(
        """
        WITH u AS MATERIALIZED (
            SELECT s.no, u.set_id, u.qty, u.covered_ms
            FROM unnest(%s::int[], %s::text[], %s::timestamptz[], %s::timestamptz[])
                 AS s (no, server_id, low, high)
            CROSS JOIN LATERAL ( -- by index: a join would read the open windows of every server
                SELECT r.set_id, r.qty, r.covered_ms FROM usage_row r
                WHERE r.server_id = s.server_id
                AND r.window_start >= s.low AND r.window_start < s.high
                AND r.window_start >= %s AND r.window_start < %s -- constants: for planning
                OFFSET 0
            ) u
        ), w AS MATERIALIZED ( -- a set is taken apart once, not for each window
            SELECT t.set_id, n.meter, n.resource, n.ix
            FROM series_set t CROSS JOIN LATERAL
                 unnest(t.meter, t.resource) WITH ORDINALITY AS n (meter, resource, ix)
            WHERE t.set_id IN (SELECT set_id FROM u) AND n.meter = ANY(%s)
        )
        SELECT u.no, w.meter, w.resource, sum(u.qty[w.ix]), sum(u.covered_ms)
        FROM u JOIN w USING (set_id) GROUP BY 1, 2, 3
        """,
        (
            list(range(len(segments))),
            [segment.server for segment in segments],
            [segment.low for segment in segments],
            [segment.high for segment in segments],
            min(segment.low for segment in segments),
            max(segment.high for segment in segments),
            list(meters),
        ),
    )


def server_totals(conn: Connection, servers: Sequence[str]) -> Mapping[tuple[str, str, str], int]:
    """All that was ever metered on these servers, by (server, meter, resource)."""
    rows = conn.execute(
        """
        SELECT server_id, meter, resource, sum(quantity) FROM usage
        WHERE server_id = ANY(%s) GROUP BY 1, 2, 3
        """,
        (list(servers),),
    )
    return {(server, meter, resource): int(total) for server, meter, resource, total in rows}
