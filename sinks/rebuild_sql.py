"""The statements of ``sinks.rebuild_compare``: made of constants, foreign text only as parameters.

In all of them ``l`` is the live ledger and ``r`` its rebuilt twin.
"""
# ruff: noqa: S608

from dataclasses import dataclass
from typing import Final

from sinks.binary import STATE
from sinks.positions import TOPIC_BITS
from sinks.rebuild import SCHEMA

PASSING: Final = ("flagged", "hour", "hour_origins", "hour_series")
"""Of a head, what no quantity depends on and what says other things of the same reports in other
chunks: the last flag, and how much that was new in an hour that may be over."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the live heads are read from: the live tables, or a snapshot."""

    snapshot: int | None = None

    @property
    def states(self) -> str:
        return self._of("server_state", "snapshot_state")

    @property
    def origins(self) -> str:
        return self._of("server_origin", "snapshot_origin")

    @property
    def offsets(self) -> str:
        return self._of("ingest_offset", "snapshot_offset")

    def _of(self, live: str, kept: str) -> str:
        if self.snapshot is None:
            return live
        return f"(SELECT * FROM {kept} WHERE snapshot_id = {self.snapshot:d})"


def _insert(columns: str, query: str) -> str:
    return f"INSERT INTO {SCHEMA}.difference ({columns}) {query}"


def _what(key: str) -> str:
    return (
        f"CASE WHEN l.{key} IS NULL THEN 'missing' WHEN r.{key} IS NULL THEN 'extra'"
        " ELSE 'changed' END"
    )


def _meaning(row: str, column: str) -> str:
    """Quantities by name."""
    return (
        "coalesce((SELECT jsonb_object_agg(coalesce(n.meter, '') || chr(31) ||"
        " coalesce(n.resource, ''), n.q)"
        f" FROM unnest({row}.meter, {row}.resource, {row}.{column}) AS n (meter, resource, q)"
        " WHERE n.q <> 0), '{}')"
    )


def _sets(table: str, schema: str) -> str:
    return (
        "SELECT x.*, s.digest, s.meter, s.resource"
        f" FROM {table} x JOIN {schema}series_set s USING (set_id)"
    )


_OFFSET: Final = f"(x.ckpt_offset & {2**TOPIC_BITS - 1})"
"""Without its topic, which is the only one that was metered."""


def _between(table: str, schema: str = "") -> str:
    """Rows of a range, with the names of their series."""
    return f"""(
        {_sets(schema + table, schema)}
        JOIN unnest(%(part)s::int[], %(low)s::bigint[], %(high)s::bigint[]) AS b (part, low, high)
          ON b.part = x.part AND {_OFFSET} > b.low AND {_OFFSET} <= b.high)"""


_TWIN: Final = f"{SCHEMA}."
WINDOWS: Final = _insert(
    "kind, what, part, server_id, window_start",
    f"""
    SELECT 'window', {_what("server_id")}, coalesce(r.part, l.part), server_id, window_start
    FROM {_between("usage_window")} l
    FULL JOIN {_between("usage_window", _TWIN)} r USING (server_id, window_start)
    WHERE l.server_id IS NULL OR r.server_id IS NULL OR l.part <> r.part
       OR l.covered_ms <> r.covered_ms
       OR ((l.digest <> r.digest OR l.qty <> r.qty)
           AND {_meaning("l", "qty")} <> {_meaning("r", "qty")})
    """,
)


def _numbered_late(schema: str = "") -> str:
    """The same entry may be there several times."""
    return f"""(
        SELECT e.*, row_number() OVER (
            PARTITION BY server_id, window_start, part, reason, meaning ORDER BY id) AS nth
        FROM (SELECT x.*, {_meaning("x", "qty")} AS meaning
              FROM {_between("usage_late", schema)} x) e)"""


LATE: Final = _insert(
    "kind, what, part, server_id, window_start, live_id, built_id",
    f"""
    SELECT 'late', {_what("id")}, part, server_id, window_start, l.id, r.id
    FROM {_numbered_late()} l
    FULL JOIN {_numbered_late(_TWIN)} r
      USING (server_id, window_start, part, reason, meaning, nth)
    WHERE l.id IS NULL OR r.id IS NULL
    """,
)


def _placed(table: str, schema: str = "", *, sets: bool = False) -> str:
    """Rows that say at which offset their report lay."""
    rows = _sets(schema + table, schema) if sets else f"SELECT x.* FROM {schema}{table} x"
    return f"""(
        {rows}
        JOIN unnest(%(part)s::int[], %(low)s::bigint[], %(high)s::bigint[]) AS b (part, low, high)
          ON b.part = x.part AND x."offset" >= b.low AND x."offset" < b.high
        WHERE x.topic_id = %(topic)s)"""


ANCHORS: Final = _insert(
    'kind, what, part, server_id, origin, at, anchor, "offset"',
    f"""
    SELECT 'anchor', {_what("server_id")}, coalesce(r.part, l.part), server_id, origin, at, kind,
           coalesce(r."offset", l."offset")
    FROM {_placed("reading_anchor", sets=True)} l
    FULL JOIN {_placed("reading_anchor", _TWIN, sets=True)} r USING (server_id, origin, at, kind)
    WHERE l.server_id IS NULL OR r.server_id IS NULL
       OR (l.seq, l.part, l."offset") <> (r.seq, r.part, r."offset")
       OR {_meaning("l", "value")} <> {_meaning("r", "value")}
    """,
)
DEAD: Final = _insert(
    'kind, what, part, "offset"',
    f"""
    SELECT 'dead letter', {_what("topic_id")}, part, "offset"
    FROM {_placed("dead_letter")} l FULL JOIN {_placed("dead_letter", _TWIN)} r
      USING (part, "offset")
    WHERE l.topic_id IS NULL OR r.topic_id IS NULL
       OR (l.reason, l.payload) <> (r.reason, r.payload)
    """,
)


def _differ(columns: str, *but: str) -> str:
    names = [name.strip() for name in columns.split(",")]
    return " OR ".join(f"l.{n} IS DISTINCT FROM r.{n}" for n in names if n not in but)


def states_differ(source: Source) -> str:
    return _insert(
        "kind, what, part, server_id",
        f"""
        SELECT 'state', {_what("server_id")}, part, server_id
        FROM ({_sets(source.states, "")}) l
        FULL JOIN ({_sets(_TWIN + "server_state", _TWIN)}) r USING (part, server_id)
        WHERE l.server_id IS NULL OR r.server_id IS NULL OR l.digest <> r.digest
           OR {_differ(STATE, "part", "server_id", "set_id", *PASSING)}
        """,
    )


def origins_differ(source: Source) -> str:
    columns = "part, since_ms, seq_hi, at_ms, up_ms, last, absent, ordinal, digest"
    return _insert(
        "kind, what, part, server_id, origin",
        f"""
        SELECT 'origin', {_what("server_id")}, coalesce(r.part, l.part), server_id, origin
        FROM ({_sets(source.origins, "")}) l
        FULL JOIN ({_sets(_TWIN + "server_origin", _TWIN)}) r USING (server_id, origin)
        WHERE l.server_id IS NULL OR r.server_id IS NULL OR {_differ(columns)}
        """,
    )


def _side(states: str, schema: str = "") -> str:
    """Quantities of one ledger in the windows that are looked at."""
    return f"""
        SELECT k.server_id, k.window_start, n.meter, n.resource, sum(n.quantity) AS quantity
        FROM touched k JOIN (
            SELECT server_id, window_start, meter, resource, qty, covered_ms
            FROM {_between("usage_window", schema)} w
            UNION ALL
            SELECT server_id, window_start, meter, resource, qty, 0
            FROM {_between("usage_late", schema)} w
            UNION ALL
            SELECT server_id, to_timestamp(win_ms / 1000), meter, resource, open, cover_ms
            FROM ({_sets(states, schema)}) h
        ) u USING (server_id, window_start)
        CROSS JOIN LATERAL unnest(u.meter || %(observed)s::text, u.resource || ''::text,
                                  u.qty || u.covered_ms::bigint) AS n (meter, resource, quantity)
        GROUP BY 1, 2, 3, 4"""


def quantities_differ(source: Source) -> str:
    return f"""
        WITH touched AS (
            SELECT server_id, window_start FROM {SCHEMA}.difference
            WHERE window_start IS NOT NULL AND server_id IS NOT NULL
            UNION
            SELECT server_id, to_timestamp(win_ms / 1000) FROM (
                SELECT part, server_id, win_ms FROM {source.states} h
                UNION ALL SELECT part, server_id, win_ms FROM {_TWIN}server_state) heads
            JOIN {SCHEMA}.difference d USING (part, server_id) WHERE d.kind = 'state'
        )
        SELECT server_id, window_start, meter, resource, coalesce(l.quantity, 0) AS live,
               coalesce(r.quantity, 0) AS rebuilt, EXISTS (
                   SELECT FROM assignment a JOIN item i USING (item_id)
                   JOIN scope_seal s USING (scope_id)
                   WHERE a.server_id = coalesce(l.server_id, r.server_id)
                     AND a.valid && tstzrange(window_start, window_start + %(width)s)
                     AND s.period_start < window_start + %(width)s
                     AND s.period_end > window_start) AS sealed
        FROM ({_side(source.states)}) l
        FULL JOIN ({_side(_TWIN + "server_state", _TWIN)}) r
          USING (server_id, window_start, meter, resource)
        WHERE coalesce(l.quantity, 0) <> coalesce(r.quantity, 0)
        ORDER BY sealed DESC, 1, 2, 3, 4 LIMIT %(limit)s
    """


def sums_differ(source: Source) -> str:
    return f"""
        SELECT server_id, meter, resource, count(*), sum(live), sum(rebuilt)
        FROM ({quantities_differ(source)}) windows GROUP BY 1, 2, 3
        ORDER BY abs(sum(rebuilt) - sum(live)) DESC, 1, 2, 3 LIMIT %(most)s
    """
