"""The independent auditor, for any test that runs reports through the meter.

``assert_exact`` fails with the worst differences when the ledger is not the truth to the unit.
``settle`` writes what a perfect meter would have written, straight into the tables, and ``table``
the same as a CSV: the auditor's own tests start from there and break it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from rackmeter.fleet.audit import Connection, audit
from rackmeter.fleet.truth import SeriesTruth, Truth

Cell = tuple[str, str, int]
"""Meter, resource, units."""


def assert_exact(conn: Connection, truth: Truth) -> None:
    """Assert that the ledger is the truth, series by series and window by window."""
    assert audit(conn, truth).differences == ()


def settle(conn: Connection, truth: Truth) -> None:
    """A ledger as it must be: some windows are still open, parts of others came late."""
    for server, series in _by_server(truth).items():
        _heads(conn, server, series)
        for start_ms, cells in _windows(series).items():
            on_time = [(meter, resource, units - units // 3) for meter, resource, units in cells]
            late = [(meter, resource, units // 3) for meter, resource, units in cells]
            at = datetime.fromtimestamp(start_ms / 1000, UTC)
            conn.execute(
                "INSERT INTO usage_window VALUES (%s, %s, %s, %s, 300000, 0, 0)",
                (server, at, *_row(conn, on_time)),
            )
            conn.execute(
                "INSERT INTO usage_late (server_id, window_start, set_id, qty, part, ckpt_offset,"
                " reason) VALUES (%s, %s, %s, %s, 0, 0, 'late')",
                (server, at, *_row(conn, late)),
            )


def table(truth: Truth) -> Iterator[str]:
    """The lines of a CSV as it must be, with late entries of their own."""
    yield "server,meter,resource,window_start,quantity\n"
    for one in truth.series:
        for start_ms, units in one.windows or ():
            at = datetime.fromtimestamp(start_ms / 1000, UTC)
            for part in (units - units // 3, units // 3):
                yield f"{one.server},{one.meter},{one.resource},{at:%Y-%m-%dT%H:%M:%SZ},{part}\n"


def _by_server(truth: Truth) -> dict[str, list[SeriesTruth]]:
    found = defaultdict(list)
    for one in truth.series:
        found[one.server].append(one)
    return found


def _windows(series: Iterable[SeriesTruth]) -> dict[int, list[Cell]]:
    found = defaultdict(list)
    for one in series:
        for start_ms, units in one.windows or ():
            found[start_ms].append((one.meter, one.resource, units))
    return found


def _heads(conn: Connection, server: str, series: Iterable[SeriesTruth]) -> None:
    """The last readings of two former origins: half of everything is of either."""
    for ordinal in (0, 1):
        last = [(one.meter, one.resource, (one.life + ordinal) // 2) for one in series]
        conn.execute(
            "INSERT INTO server_origin (server_id, origin, part, since_ms, seq_hi, at_ms, up_ms,"
            " set_id, last, ordinal) VALUES (%s, %s, 0, 0, 1, 0, 0, %s, %s, %s)",
            (server, f"o{ordinal}", *_row(conn, last), ordinal),
        )


def _row(conn: Connection, cells: Iterable[Cell]) -> tuple[int, list[int]]:
    meter, resource, quantity = zip(*cells, strict=True)
    digest = repr((meter, resource)).encode()
    row = conn.execute(
        "INSERT INTO series_set (digest, meter, resource) VALUES (%s, %s, %s)"
        " ON CONFLICT (digest) DO UPDATE SET digest = excluded.digest RETURNING set_id",
        (digest, list(meter), list(resource)),
    ).fetchone()
    assert row is not None
    return int(row[0]), list(quantity)
