"""The ledger against a fleet's truth, to the unit. Reads the ledger's views with plain SQL.

Shares no code with the meter, so that a mistake cannot agree with itself. A unit that the truth has
and the ledger has not is lost; the other way round it is doubled. A sum hides mistakes that cancel
out, so every series is compared apart: its life, its period, its readings, its windows where asked.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import psycopg
from psycopg.rows import TupleRow

from rackmeter.fleet.truth import Truth
from rackmeter.fleet.windows import WindowKey

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
    """Compare the totals of every series: over its life, in the period, and its last readings."""
    arguments = {
        "servers": sorted({one.server for one in truth.series}),
        "start": _instant(truth.plan.start_ms),
        "end": _instant(truth.plan.end_ms),
    }
    found: Figures = {}
    for server, meter, resource, life, period in conn.execute(_USED, arguments):
        found[server, meter, resource, "life"] = life
        found[server, meter, resource, "period"] = period
    for server, meter, resource, reading in conn.execute(_READ, arguments):
        found[server, meter, resource, "readings"] = reading
    expected = _expected(truth)
    return Audit(len(truth.series), len(expected), tuple(_compare(expected, found)))


def _expected(truth: Truth) -> Figures:
    figures: Figures = {}
    for one in truth.series:
        figures[one.server, one.meter, one.resource, "life"] = one.life
        figures[one.server, one.meter, one.resource, "period"] = one.period
        figures[one.server, one.meter, one.resource, "readings"] = one.life
    return figures


def audit_windows(
    conn: Connection, servers: Iterable[str], windows: Mapping[WindowKey, int]
) -> list[Difference]:
    """Compare every window of every series of these servers; zero and absent are the same."""
    found: Figures = {
        (server, meter, resource, _shown(start_ms)): units
        for server, meter, resource, start_ms, units in conn.execute(
            _WINDOWS, {"servers": sorted(servers)}
        )
    }
    expected: Figures = {
        (server, meter, resource, _shown(start_ms)): units
        for (server, meter, resource, start_ms), units in windows.items()
    }
    return _compare(expected, found)


def _compare(expected: Figures, found: Figures) -> list[Difference]:
    return [
        Difference(*key, expected.get(key, 0), found.get(key, 0))
        for key in sorted(expected.keys() | found.keys())
        if expected.get(key, 0) != found.get(key, 0)
    ]


def _instant(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)


def _shown(epoch_ms: int) -> str:
    return _instant(epoch_ms).isoformat()
