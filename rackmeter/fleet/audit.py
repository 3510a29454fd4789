"""A ledger against a fleet's truth, to the unit. Reads the ledger's views with plain SQL.

Shares no code with the meter, so that a mistake cannot agree with itself. A unit that the truth has
and the ledger has not is lost; the other way round it is doubled. A sum hides mistakes that cancel
out, so every series is compared apart: its life, its period, its readings, and its windows where
the truth keeps them.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import psycopg
from psycopg.rows import TupleRow

from rackmeter.fleet.truth import Truth

Connection = psycopg.Connection[TupleRow]
Figures = dict[tuple[str, str, str, str], int]
"""Server, meter, resource, name of the figure → units."""

# The sums of the view `usage`, taken over its rows without first summing every window.
_USED: Final = """
    SELECT u.server_id, s.meter, s.resource, sum(s.quantity)::bigint,
           coalesce(sum(s.quantity) FILTER (
               WHERE u.window_start >= %(start)s AND u.window_start < %(end)s), 0)::bigint
    FROM usage_row u
    JOIN series_set t USING (set_id)
    CROSS JOIN LATERAL unnest(t.meter, t.resource, u.qty) AS s (meter, resource, quantity)
    WHERE u.server_id = ANY(%(servers)s)
    GROUP BY 1, 2, 3"""
_READ: Final = """
    SELECT server_id, meter, resource, sum(reading)::bigint
    FROM chain WHERE server_id = ANY(%(servers)s) GROUP BY 1, 2, 3"""
_WINDOWS: Final = """
    SELECT server_id, meter, resource,
           (extract(epoch FROM window_start) * 1000)::bigint, quantity::bigint
    FROM usage WHERE server_id = ANY(%(servers)s) AND quantity <> 0"""


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of one series that is not what it must be."""

    server: str
    meter: str
    resource: str
    figure: str
    """``life``, ``period``, ``readings``, or the start of a window."""
    truth: int
    ledger: int

    @property
    def lost(self) -> int:
        """Units that the ledger lacks."""
        return max(self.truth - self.ledger, 0)

    @property
    def doubled(self) -> int:
        """Units that the ledger has too many."""
        return max(self.ledger - self.truth, 0)


@dataclass(frozen=True, slots=True)
class Audit:
    """What was compared and what differs."""

    series: int
    figures: int
    differences: tuple[Difference, ...]

    @property
    def lost(self) -> int:
        """Units lost over the whole life of all series."""
        return sum(one.lost for one in self.differences if one.figure == "life")

    @property
    def doubled(self) -> int:
        """Units counted twice over the whole life of all series."""
        return sum(one.doubled for one in self.differences if one.figure == "life")


def audit(conn: Connection, truth: Truth) -> Audit:
    """Compare every series of a truth's servers; what others have is no difference."""
    servers = sorted({one.server for one in truth.series})
    edges = {"start": instant(truth.plan.start_ms), "end": instant(truth.plan.end_ms)}
    found: Figures = {}
    for server, meter, resource, life, period in conn.execute(_USED, edges | {"servers": servers}):
        found[server, meter, resource, "life"] = life
        found[server, meter, resource, "period"] = period
    for server, meter, resource, reading in conn.execute(_READ, {"servers": servers}):
        found[server, meter, resource, "readings"] = reading
    if keeps_windows(truth):
        found |= _windows(conn, servers)
    return compared(truth, expected(truth, readings=True), found)


def keeps_windows(truth: Truth) -> bool:
    """Whether the truth knows what was used when."""
    return all(one.windows is not None for one in truth.series)


def expected(truth: Truth, *, readings: bool) -> Figures:
    """Every figure that the truth knows."""
    figures: Figures = {}
    for one in truth.series:
        series = one.server, one.meter, one.resource
        figures[*series, "life"], figures[*series, "period"] = one.life, one.period
        if readings:
            figures[*series, "readings"] = one.life
        for start_ms, units in one.windows or ():
            figures[*series, shown(start_ms)] = units
    return figures


def compared(truth: Truth, wanted: Figures, found: Figures) -> Audit:
    """The audit of what was found."""
    return Audit(len(truth.series), len(wanted), tuple(_differences(wanted, found)))


def instant(epoch_ms: int) -> datetime:
    """As SQL takes it."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)


def shown(epoch_ms: int) -> str:
    """The name of a window's figure."""
    return instant(epoch_ms).isoformat()


def _windows(conn: Connection, servers: list[str]) -> Figures:
    return {
        (server, meter, resource, shown(start_ms)): units
        for server, meter, resource, start_ms, units in conn.execute(_WINDOWS, {"servers": servers})
    }


def _differences(wanted: Figures, found: Figures) -> list[Difference]:
    return [
        Difference(*key, wanted.get(key, 0), found.get(key, 0))
        for key in sorted(wanted.keys() | found.keys())
        if wanted.get(key, 0) != found.get(key, 0)
    ]
