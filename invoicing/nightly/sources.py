"""The server's own counters against the provider's: a customer is root on what he rents.

What a switch's port received is what the server sent. Both are summed over the day, in whole
windows, for each server that has ports. Reads only.
"""

from collections import defaultdict

from invoicing.nightly.base import Found, Night, Pair, snapshot
from invoicing.reconcile import Difference

WHAT = "agent = switch"
SLACK_BYTES = 100_000_000
"""A ten thousandth of a terabyte: broadcasts and neighbours that a card drops are no dispute."""
_SUMS = """
    SELECT u.server_id, n.meter, n.resource, sum(u.qty[n.ix])
    FROM usage_row u
    JOIN series_set t USING (set_id)
    CROSS JOIN LATERAL unnest(t.meter, t.resource) WITH ORDINALITY AS n (meter, resource, ix)
    WHERE u.server_id = ANY(%(servers)s) AND n.meter = ANY(%(meters)s)
      AND u.window_start >= %(low)s AND u.window_start < %(high)s
    GROUP BY 1, 2, 3
"""
Sums = dict[tuple[str, str, str], int]


def sources(night: Night) -> Found:
    """Each server that has ports, each pair of meters."""
    if not night.ports:
        return Found(0, notes=("no ports: RACKMETER_PORTS_FILE",))
    metered = _sums(night)
    ports = defaultdict(list)
    for port in night.ports:
        ports[port.server].append((port.collector, port.resource))
    found, compared = [], 0
    for server, plugged in sorted(ports.items()):
        for pair in night.pairs:
            said = [
                q
                for (name, meter, _), q in metered.items()
                if (name, meter) == (server, pair.agent)
            ]
            seen = [metered.get((one, pair.switch, resource)) for one, resource in plugged]
            compared += 1
            found += _judged(server, pair, said, seen)
    return Found(compared, tuple(found))


def _judged(server: str, pair: Pair, said: list[int], seen: list[int | None]) -> list[Difference]:
    where = f"{server} {pair.agent} and {pair.switch}"
    silent = [quantity for quantity in seen if quantity is None]
    if silent:
        return [Difference(WHAT, where, str(sum(said)), f"no readings of {len(silent)} ports")]
    ours, theirs = sum(said), sum(quantity or 0 for quantity in seen)
    allowed = max(max(ours, theirs) * pair.permille // 1000, SLACK_BYTES)
    if abs(ours - theirs) <= allowed:
        return []
    return [Difference(WHAT, where, str(ours), str(theirs))]


def _sums(night: Night) -> Sums:
    servers = {port.server for port in night.ports} | {port.collector for port in night.ports}
    with snapshot(night.conn):
        rows = night.conn.execute(
            _SUMS,
            {
                "servers": sorted(servers),
                "meters": sorted({m for pair in night.pairs for m in (pair.agent, pair.switch)}),
                "low": night.low,
                "high": night.high,
            },
        ).fetchall()
    return {(server, meter, resource): int(q) for server, meter, resource, q in rows}
