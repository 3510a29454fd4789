"""Windows that were open when a period was billed, and servers that had not reported past its end.

What comes of them later is no late entry: a window that was open is finished, a silent server's
time is filled. So they are kept with the seal, as they were counted, and each further look at the
period keeps its own. Reads and writes rows of ``seal_open``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from invoicing.gate import last_assignments
from invoicing.plan import end_of_service
from pipeline.periods import closed
from schemas.billing import Scope, Span
from sinks.database import Connection


@dataclass(frozen=True, slots=True)
class Opened:
    """A server's head that ends inside the time that was billed. Part -1: it never reported."""

    scope: str
    period_start: datetime
    server: str
    part: int
    at_ms: int
    window_start: datetime | None
    set_id: int | None
    qty: tuple[int, ...] | None
    covered_ms: int | None


def opened(conn: Connection, wanted: Iterable[tuple[Scope, Span]]) -> tuple[Opened, ...]:
    """Of the servers that were metered for these scopes in these periods, those not past them."""
    rows: list[tuple[str, datetime, str, datetime]] = []
    for scope, period in wanted:
        service = Span(period.start, end_of_service(scope, period))
        for server, row in sorted(last_assignments(scope, service).items()):
            served = row.valid.clip(period.start, closed(service))
            assert served is not None  # it is one of the service time
            rows.append((scope.scope, period.start, server, closed(served)))
    if not rows:
        return ()
    scopes, starts, servers, ends = zip(*rows, strict=True)
    found = conn.execute(
        """
        SELECT w.scope_id, w.period_start, w.server_id, coalesce(s.part, -1), coalesce(s.at_ms, 0),
               to_timestamp(s.win_ms / 1000), s.set_id, s.open, s.cover_ms
        FROM unnest(%s::text[], %s::timestamptz[], %s::text[], %s::timestamptz[])
             AS w (scope_id, period_start, server_id, served_to)
        LEFT JOIN server_state s USING (server_id)
        WHERE s.server_id IS NULL OR to_timestamp(s.win_ms / 1000) < w.served_to
        ORDER BY 1, 2, 3, 4
        """,
        (list(scopes), list(starts), list(servers), list(ends)),
    )
    return tuple(
        Opened(scope, start, server, part, at, window, set_id, qty and tuple(qty), covered)
        for scope, start, server, part, at, window, set_id, qty, covered in found
    )


def write_opened(conn: Connection, rows: Sequence[Opened], look: int = 0) -> None:
    """Keeps them with the seal (0) or with a later look; belongs inside its transaction."""
    if not rows:
        return
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO seal_open VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    row.scope, row.period_start, look, row.server, row.part, row.at_ms,
                    row.window_start, row.set_id, None if row.qty is None else list(row.qty),
                    row.covered_ms,
                )
                for row in rows
            ],
        )  # fmt: skip
