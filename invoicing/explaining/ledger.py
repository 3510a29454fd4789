"""What the ledger tells of a line beyond the document: the law of conservation, gaps, what came
late and with which positions. Reads only.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final

from invoicing.causes import causes
from invoicing.document import Adjusted, Document, Priced, Series
from invoicing.evidence import READINGS
from invoicing.explaining.line import Case
from invoicing.explaining.rows import Row, Seal, Served, meters, rows, served
from invoicing.explaining.tree import Node
from invoicing.export import load
from invoicing.pieces import WIDTH, metered
from pipeline.periods import closed
from schemas.billing import Scope, Span
from schemas.prices import Allocation, Percentile
from schemas.serial import instant_text
from schemas.spans import WIDTH_MS
from sinks.database import Connection

MOST: Final = 20
"""Rows and gaps that are listed one by one; the rest are counted."""


def told(conn: Connection, case: Case, series: Sequence[Series]) -> Iterator[Node]:
    """Nodes about a line, in the order of the tree."""
    if case.adjusted is not None:
        yield from _since(conn, case, case.adjusted)
        return
    scope, line = case.entry.scope, case.row.line
    charges = [row for row in scope.prices if (row.item, row.charge) == (line.item, line.charge)]
    if not charges or line.tier:
        return
    match charges[-1].price.quantity:
        case Percentile(meters=names, pool=pool):
            items = _pool(scope, line.charge, pool) if pool else {line.item}
            yield from _anchors(conn, scope, line.service, items, names)
        case Allocation(evidence=name) if name:
            yield from _beside(conn, case, name)
    if summed := metered(scope, line):
        yield from _conserved(conn, series)
        mine = _rows_of(conn, case, summed.meters)
        parts = served(scope, line.service, {line.item})
        yield from _gaps([row for row in mine if row.seen(case.document.cut)], parts)
        yield from _later([row for row in mine if not row.seen(case.document.cut)])


def _pool(scope: Scope, charge: str, pool: str) -> set[str]:
    return {
        row.item
        for row in scope.prices
        if isinstance(row.price.quantity, Percentile)
        and (row.charge, row.price.quantity.pool) == (charge, pool)
    }


def _rows_of(conn: Connection, case: Case, wanted: Iterable[str]) -> list[Row]:
    line, scope = case.row.line, case.entry.scope
    parts = served(scope, line.service, {line.item})
    return rows(conn, parts, wanted, [Seal(scope.scope, case.document.period.start, 0)])


def _conserved(conn: Connection, series: Sequence[Series]) -> Iterator[Node]:
    """The law for each series: all windows ever are all readings ever."""
    for one in series:
        row = conn.execute(
            """
            SELECT (SELECT coalesce(sum(reading), 0) FROM chain
                    WHERE (server_id, meter, resource) = (%(server)s, %(meter)s, %(resource)s)),
                   (SELECT coalesce(sum(quantity), 0) FROM usage
                    WHERE (server_id, meter, resource) = (%(server)s, %(meter)s, %(resource)s))
            """,
            {"server": one.server, "meter": one.meter, "resource": one.resource},
        ).fetchone()
        assert row is not None
        sign = "=" if row[0] == row[1] else "≠"
        said = f"highest readings of all origins {int(row[0])} {sign} {int(row[1])} in all windows"
        yield Node("conserved", said, (f"{one.server} {one.meter} {one.resource}".strip(),))


def _gaps(found: Sequence[Row], parts: Sequence[Served]) -> Iterator[Node]:
    """Windows that were not observed whole, neighbours together."""
    covered: dict[tuple[str, datetime], int] = {
        (server, start + n * WIDTH): 0
        for server, start, end in parts
        for n in range((end - start) // WIDTH)
    }
    for row in found:
        at = (row.server, row.start)
        covered[at] = max(covered[at], row.covered_ms)
    short = sorted((server, at) for (server, at), ms in covered.items() if ms < WIDTH_MS)
    gaps: list[tuple[str, datetime, datetime]] = []
    for server, mine in groupby(short, key=lambda one: one[0]):
        gaps += [(server, first, last) for first, last in _runs([at for _, at in mine])]
    if gaps:
        most = tuple(
            Node("gap", f"{server} {instant_text(first)} … {instant_text(last + WIDTH)}",
                 (f"{_observed(covered, server, first, last)} s of it observed",))
            for server, first, last in gaps[:MOST]
        )  # fmt: skip
        rest = f"{len(gaps)} gaps in {len(short)} windows"
        yield Node("gaps", rest, ("windows of 5 minutes that were not observed whole",), most)


def _runs(starts: Sequence[datetime]) -> list[tuple[datetime, datetime]]:
    found: list[tuple[datetime, datetime]] = []
    for at in starts:
        if found and found[-1][1] + WIDTH == at:
            found[-1] = (found[-1][0], at)
        else:
            found.append((at, at))
    return found


def _observed(
    covered: dict[tuple[str, datetime], int], server: str, first: datetime, last: datetime
) -> int:
    steps = (last - first) // WIDTH + 1
    return sum(covered[server, first + n * WIDTH] for n in range(steps)) // 1000


def _later(found: Sequence[Row]) -> Iterator[Node]:
    total = sum(row.quantity for row in found)
    if found and total:
        said = f"{total} base units arrived after the invoice: an adjustment to come"
        yield Node("later", said, (), tuple(_listed(found)))


def _listed(found: Sequence[Row]) -> Iterator[Node]:
    for row in found[:MOST]:
        name = f"{row.source} window {instant_text(row.start)}"
        yield Node(name, f"{row.quantity} {row.server} {row.meter} {row.resource}".rstrip(),
                   ((f"topic {row.topic}, partition {row.partition}, metered by offset"
                    f" {row.offset}"),))  # fmt: skip
    if len(found) > MOST:
        yield Node("more", f"{len(found) - MOST} rows")


# --- percentiles and allocations ------------------------------------------------------------------


def _anchors(
    conn: Connection, scope: Scope, service: Span, items: Iterable[str], names: Iterable[str]
) -> Iterator[Node]:
    """Readings kept around a percentile's time, by series: ends of each origin."""
    parts = served(scope, service, items)
    found = conn.execute(
        READINGS,
        {
            "line": [0] * len(parts),
            "server": [part[0] for part in parts],
            "start": [part[1] for part in parts],
            "end": [part[2] for part in parts],
            "meters": list(names),
        },
    ).fetchall()
    kept = [row[1:] for row in found]
    for (server, meter, resource), series in groupby(kept, key=lambda row: row[:3]):
        by_origin = [list(same) for _, same in groupby(series, key=lambda row: row[3])]
        ends = [row for same in by_origin for row in dict.fromkeys((same[0], same[-1]))]
        yield Node("readings", f"{server} {meter} {resource}".strip(), (), tuple(
            Node(f"{kind} reading {instant_text(at)}", str(value),
                 (f"origin {origin}, report {seq}, partition {part}, offset {offset}",
                  f"topic {topic}"))
            for _, _, _, origin, at, kind, seq, value, topic, part, offset in ends
        ))  # fmt: skip


def _beside(conn: Connection, case: Case, name: str) -> Iterator[Node]:
    """What a meter says of something that is allocated: shown, never billed."""
    found = [row for row in _rows_of(conn, case, [name]) if row.seen(case.document.cut)]
    total = sum(row.quantity for row in found)
    busy = sum(1 for row in found if row.quantity)
    yield Node(
        "evidence", f"{name} says {total} in {len(found)} windows, {busy} of them not zero",
        ("shown beside what is allocated; it changes nothing that is billed",),
    )  # fmt: skip


# --- adjustments ----------------------------------------------------------------------------------


def _since(conn: Connection, case: Case, adjusted: Adjusted) -> Iterator[Node]:
    """What came between the document that billed the period last and this one."""
    line, scope = case.row.line, adjusted.priced.scope
    before = _before(conn, case.document, adjusted)
    if before is None:
        yield Node("why", "not billed before")
        return
    priced = _of(before, adjusted)
    items = {line.item} & {item.item for item in scope.items} or {i.item for i in scope.items}
    period = adjusted.priced.inputs.period
    span = Span(period.start, closed(period))
    found = rows(
        conn, served(scope, span, items), meters(scope), [Seal(scope.scope, period.start, 0)]
    )
    came = [row for row in found if row.seen(case.document.cut) and not row.seen(before.cut)]
    why = causes(priced, adjusted.priced, line, ("usage",) if came else ())
    at = f"{before.number}, issued {instant_text(before.issued_at)}"
    yield Node("why", ", ".join(why) or "what it was compared with changed", (f"since {at}",),
               tuple(_listed([row for row in came if row.quantity])))  # fmt: skip


def _before(conn: Connection, document: Document, adjusted: Adjusted) -> Document | None:
    """The document that billed this scope and period last before."""
    scope, period = adjusted.priced.scope.scope, adjusted.priced.inputs.period
    row = conn.execute(
        """
        SELECT invoice_id::text FROM (
            SELECT invoice_id, 0 AS look FROM scope_seal
            WHERE (scope_id, period_start) = (%(scope)s, %(start)s)
            UNION ALL
            SELECT invoice_id, look FROM adjustment
            WHERE (scope_id, period_start) = (%(scope)s, %(start)s)
              AND look < coalesce((SELECT min(look) FROM adjustment
                                   WHERE (scope_id, period_start) = (%(scope)s, %(start)s)
                                     AND invoice_id = %(id)s), 0)
        ) known WHERE invoice_id IS NOT NULL ORDER BY look DESC LIMIT 1
        """,
        {"scope": scope, "start": period.start, "id": document.invoice_id},
    ).fetchone()
    return load(conn, row[0])[0] if row else None


def _of(document: Document, adjusted: Adjusted) -> Priced | None:
    wanted = (adjusted.priced.scope.scope, adjusted.priced.inputs.period)
    known = [*document.priced, *(one.priced for one in document.adjusted)]
    return next((one for one in known if (one.scope.scope, one.inputs.period) == wanted), None)
