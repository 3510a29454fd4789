"""May a scope be closed? The answer is data: ready, or the reasons as sentences. Reads only.

Everything appended before the end of service plus grace must be in the ledger, on every partition,
and every server that was metered for the scope must have reported past its end of service, or a
declared interval (maintenance, suspension, exclusion) must say why it could not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial

from invoicing.plan import end_of_service
from pipeline.periods import closed
from schemas.billing import Assignment, Scope, Span
from schemas.prices import Percentile, Source, Sum
from sinks.database import Connection


@dataclass(frozen=True, slots=True)
class Gate:
    """Ready when nothing is missing."""

    scope: str
    reasons: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        return not self.reasons


def gates(
    conn: Connection,
    scopes: Sequence[Scope],
    period: Span,
    *,
    grace_ms: int,
    issued_at: datetime,
) -> list[Gate]:
    """Of each scope whether its period may close at ``issued_at``."""
    grace = timedelta(milliseconds=grace_ms)
    services = [Span(period.start, end_of_service(scope, period)) for scope in scopes]
    last = [last_assignments(*both) for both in zip(scopes, services, strict=True)]
    readings = _last_readings(conn, sorted({server for mine in last for server in mine}))
    behind = cache(partial(_partitions, _topics(conn)))
    found: list[Gate] = []
    for scope, service, mine in zip(scopes, services, last, strict=True):
        until = closed(service) + grace
        reasons = list(_clock(issued_at, until))
        if metered_items(scope):
            reasons += behind(until)
            reasons += _servers(conn, mine, service, readings)
        found.append(Gate(scope.scope, tuple(reasons)))
    return found


def metered_items(scope: Scope) -> set[str]:
    """Items with a charge that needs reports."""
    return {
        row.item
        for row in scope.prices
        if isinstance(quantity := row.price.quantity, Sum | Percentile)
        and quantity.source is not Source.PROVISIONING
    }


def _clock(issued_at: datetime, until: datetime) -> Iterator[str]:
    if issued_at < until:
        yield f"Service runs until {_text(until)} with grace, which is after {_text(issued_at)}."


def _topics(conn: Connection) -> list[tuple[str, int, int | None]]:
    """Name, partition and up to when it is metered."""
    return conn.execute(
        """
        SELECT t.name, p.part, o.append_ms
        FROM (
            SELECT DISTINCT ON (name) * FROM ingest_topic ORDER BY name, first_seen DESC
        ) t  -- a topic that was made anew has replaced the one of its name
        CROSS JOIN LATERAL generate_series(0, t.partitions - 1) AS p (part)
        LEFT JOIN ingest_offset o ON o.topic_id = t.topic_id AND o.part = p.part
        WHERE t.drained_at IS NULL
        ORDER BY 1, 2
        """
    ).fetchall()


def _partitions(rows: Sequence[tuple[str, int, int | None]], until: datetime) -> list[str]:
    if not rows:
        return ["No topic has been metered yet: start a worker."]
    until_ms = int(until.timestamp() * 1000)
    said: list[str] = []
    for name, part, append_ms in rows:
        if not append_ms:
            said.append(f"Partition {part} of {name} has not been metered yet: start a worker.")
        elif append_ms < until_ms:
            reached = _text(datetime.fromtimestamp(append_ms // 1000, UTC))
            said.append(
                f"Partition {part} of {name} is metered up to {reached}, not yet to {_text(until)}."
            )
    return said


def _servers(
    conn: Connection, last: dict[str, Assignment], service: Span, at: dict[str, datetime]
) -> Iterator[str]:
    for server, assignment in sorted(last.items()):
        served = assignment.valid.clip(service.start, closed(service))
        assert served is not None
        assert served.end is not None
        reading = at.get(server)
        if reading is not None and reading >= served.end:
            continue
        since = max(reading or served.start, served.start)
        if since < served.end and _declared(conn, assignment.item, Span(since, served.end)):
            continue
        said = "never reported" if reading is None else f"last reported at {_text(reading)}"
        yield (
            f"Server {server} {said}, before {_text(served.end)}: wait for its next report,"
            f" or declare an interval of item {assignment.item} that covers the gap."
        )


def last_assignments(scope: Scope, service: Span) -> dict[str, Assignment]:
    """For each metered server, the last assignment of the service time."""
    assert service.end is not None
    metered = metered_items(scope)
    return {
        row.server: row
        for row in sorted(scope.assignments, key=lambda row: row.valid.start)
        if row.item in metered and row.valid.clip(service.start, service.end)
    }


def _last_readings(conn: Connection, servers: list[str]) -> dict[str, datetime]:
    rows = conn.execute(
        "SELECT server_id, max(at_ms) FROM server_state WHERE server_id = ANY(%s) GROUP BY 1",
        (servers,),
    )
    return {
        server: datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=at_ms)
        for server, at_ms in rows
    }


def _declared(conn: Connection, item: str, silent: Span) -> bool:
    """Intervals say why nothing was reported in all of that time."""
    found = conn.execute(
        """
        SELECT range_agg(valid) @> tstzrange(%s, %s, '[)') FROM item_interval
        WHERE item_id = %s AND kind IN ('maintenance', 'suspension', 'exclusion')
        """,
        (silent.start, silent.end, item),
    ).fetchone()
    return found is not None and bool(found[0])


def _text(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
