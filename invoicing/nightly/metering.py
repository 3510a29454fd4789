"""Windows against readings, and the archive against what was written. Reads only."""

from typing import Final

from invoicing.nightly.base import Found, Night, snapshot
from invoicing.reconcile import CONSERVATION, READINGS, Difference
from sinks import archive, archive_file
from sinks.archive import Span

ARCHIVED: Final = "archive = as written"
SERVERS_MAX: Final = 1_000
"""Of conservation in a night: what they ever used is summed."""


def conservation(night: Night) -> Found:
    """Every chain of some servers: its windows sum to its last reading."""
    with snapshot(night.conn):
        known = night.conn.execute(
            "SELECT DISTINCT server_id FROM server_state ORDER BY 1"
        ).fetchall()
        drawn = night.drawn([server for (server,) in known], SERVERS_MAX)
        rows = night.conn.execute(CONSERVATION, {"servers": drawn}).fetchall()
    return Found(
        len(rows),
        tuple(
            Difference(
                READINGS, f"{server} {meter} {resource}".strip(), str(readings), str(windows)
            )
            for server, meter, resource, windows, readings in rows
            if readings != windows
        ),
    )


def archived(night: Night) -> Found:
    """Files with reports of the day: there, and the bytes that were written."""
    kept = [span for span in _spans(night) if span.kept]
    wrong = [(span, said) for span in kept if (said := archive_file.problem(night.archive, span))]
    return Found(
        len(kept),
        tuple(
            Difference(ARCHIVED, f"{s.file} ({s.place})", "as written", said) for s, said in wrong
        ),
        () if kept else ("nothing of the day is archived",),
    )


def _spans(night: Night) -> list[Span]:
    low, high = (int(edge.timestamp() * 1000) for edge in (night.low, night.high))
    return [s for s in archive.spans(night.conn, since_ms=low) if s.first_ms < high]
