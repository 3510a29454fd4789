"""Servers that report = servers that are rented = items = what the provider believes. Reads only.

A server that was cancelled and still runs leaks most money, so it is looked at from each side. All
of it is asked at one instant, the end of the day.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from invoicing.nightly.base import Found, Night, Unit, snapshot
from invoicing.reconcile import Difference

REPORTING = "servers that report = rented servers"
ITEMS = "rented items = items on a server"
BELIEVED = "inventory = assignments"
OFF = "inventory = servers that report"
NAMED = 5
"""Of silent servers in a note; the dashboards have all of them."""
_REPORTED = """
    SELECT s.server_id, max(s.at_ms), (
        SELECT i.item_id || ' until ' || to_char(upper(a.valid * i.valid), 'YYYY-MM-DD HH24:MI')
        FROM assignment a JOIN item i USING (item_id)
        WHERE a.server_id = s.server_id AND upper(a.valid * i.valid) <= %(high)s
        ORDER BY upper(a.valid * i.valid) DESC LIMIT 1
    )
    FROM server_state s WHERE s.at_ms >= extract(epoch FROM %(low)s::timestamptz) * 1000
    GROUP BY 1 ORDER BY 1
"""
_ASSIGNED = """
    SELECT a.server_id, i.item_id FROM assignment a JOIN item i USING (item_id)
    WHERE a.valid * i.valid @> (%(high)s - interval '1 ms')
"""
_RENTED = "SELECT item_id FROM item WHERE valid @> (%(high)s - interval '1 ms') ORDER BY 1"


def servers(night: Night) -> Found:
    """Who reported on the day or later is rented, unless the inventory says that it is spare.

    A rented server that was silent is a note: its customer may have switched it off.
    """
    with snapshot(night.conn):
        reported = _rows(night, _REPORTED)
        assigned = dict(_rows(night, _ASSIGNED))
    spare = {unit.server for unit in night.inventory or () if unit.state == "spare"}
    found = tuple(
        Difference(
            REPORTING, server, f"reported at {_time(at_ms)}",
            f"cancelled: {was}" if was else "never rented",
        )
        for server, at_ms, was in reported
        if server not in assigned and server not in spare
    )  # fmt: skip
    return Found(len(reported), found, _silent(assigned, reported))


def _silent(assigned: Mapping[str, str], reported: Sequence[tuple[Any, ...]]) -> tuple[str, ...]:
    silent = sorted(assigned.keys() - {server for server, *_ in reported})
    if not silent:
        return ()
    more = " …" if len(silent) > NAMED else ""
    return (f"{len(silent)} rented and silent: {', '.join(silent[:NAMED])}{more}",)


def items(night: Night) -> Found:
    """Every rented item has a server: without one it is paid for and not delivered."""
    with snapshot(night.conn):
        rented = [item for (item,) in _rows(night, _RENTED)]
        served = {item for _, item in _rows(night, _ASSIGNED)}
    found = (Difference(ITEMS, item, "rented", "no server") for item in rented)
    return Found(len(rented), tuple(one for one in found if one.where not in served))


def provisioning(night: Night) -> Found:
    """The provider's inventory against assignments and reports, server by server."""
    if night.inventory is None:
        return Found(0, notes=("no inventory: RACKMETER_INVENTORY_FILE or --inventory",))
    with snapshot(night.conn):
        assigned = dict(_rows(night, _ASSIGNED))
        reported = {server: at_ms for server, at_ms, _ in _rows(night, _REPORTED)}
    units = {unit.server: unit for unit in night.inventory}
    names = sorted(units.keys() | assigned.keys() | reported.keys())
    differences = [one for name in names for one in _compared(name, units, assigned, reported)]
    return Found(len(names), tuple(differences))


def _compared(
    server: str, units: Mapping[str, Unit], assigned: Mapping[str, str], reported: Mapping[str, int]
) -> Iterator[Difference]:
    unit, item = units.get(server), assigned.get(server, "")
    believed = unit.state if unit else "not in the inventory"
    if (believed == "rented") != bool(item):
        yield Difference(BELIEVED, server, believed, item or "not assigned")
    elif unit and item and unit.item not in ("", item):
        yield Difference(BELIEVED, server, unit.item, item)
    if server in reported and not item and believed in ("off", "not in the inventory"):
        yield Difference(OFF, server, believed, f"reported at {_time(reported[server])}")


def _rows(night: Night, query: str) -> list[tuple[Any, ...]]:
    return night.conn.execute(query, {"low": night.low, "high": night.high}).fetchall()


def _time(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%d %H:%M}"
