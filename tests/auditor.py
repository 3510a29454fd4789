"""The independent auditor, for any test that runs reports through the meter.

``exact`` fails with the worst differences when the ledger is not the truth to the unit. ``settle``
writes what a perfect meter would have written, straight into the tables: the auditor's own tests
start from there and break it.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

from rackmeter.fleet.audit import Connection, audit, audit_windows
from rackmeter.fleet.mishaps import Schedule
from rackmeter.fleet.plan import FleetPlan
from rackmeter.fleet.truth import Truth, truth_of, windows_of
from rackmeter.fleet.windows import WindowKey


def exact(conn: Connection, plan: FleetPlan, schedules: Sequence[Schedule]) -> Truth:
    """Assert that the ledger is the truth, series by series and window by window."""
    truth = truth_of(plan, schedules)
    assert audit(conn, truth).differences == ()
    windows: dict[WindowKey, int] = {}
    for schedule in schedules:
        windows |= windows_of(schedule)
    servers = [schedule.life.machine.id for schedule in schedules]
    assert audit_windows(conn, servers, windows) == []
    return truth


def settle(conn: Connection, schedules: Sequence[Schedule]) -> None:
    """A ledger as it must be after these schedules."""
    for schedule in schedules:
        life = schedule.life
        _heads(conn, schedule)
        rows: dict[int, list[tuple[str, str, int]]] = defaultdict(list)
        for (_, meter, resource, start_ms), units in windows_of(schedule).items():
            rows[start_ms].append((meter, resource, units))
        for start_ms, cells in rows.items():
            meters, resources, quantities = zip(*cells, strict=True)
            start = datetime.fromtimestamp(start_ms / 1000, UTC)
            conn.execute(
                "INSERT INTO usage_window VALUES (%s, %s, %s, %s, 300000, 0, 0)",
                (life.machine.id, start, _set(conn, meters, resources), list(quantities)),
            )


def _heads(conn: Connection, schedule: Schedule) -> None:
    """The last reading of every origin, all as former ones: the view reads both alike."""
    life = schedule.life
    set_id = _set(conn, life.meter, life.resource)
    for index, origin in enumerate(life.origins):
        last = life.readings_of(index)[-1]
        conn.execute(
            "INSERT INTO server_origin (server_id, origin, part, since_ms, seq_hi, at_ms, up_ms,"
            " set_id, last, ordinal) VALUES (%s, %s, 0, %s, %s, %s, 0, %s, %s, %s)",
            (
                life.machine.id,
                origin,
                life.since_ms[index],
                int(life.seq[last]),
                life.at(last),
                set_id,
                life.value[last].tolist(),
                index,
            ),
        )


def _set(conn: Connection, meter: tuple[str, ...], resource: tuple[str, ...]) -> int:
    digest = repr((meter, resource)).encode()
    row = conn.execute(
        "INSERT INTO series_set (digest, meter, resource) VALUES (%s, %s, %s)"
        " ON CONFLICT (digest) DO UPDATE SET digest = excluded.digest RETURNING set_id",
        (digest, list(meter), list(resource)),
    ).fetchone()
    assert row is not None
    return int(row[0])
