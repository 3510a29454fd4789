"""The second ledger: the same tables in a schema of their own, into which the log is metered again.

Whoever connects with ``address`` finds it in the place of the first, so the code that writes it is
the worker's own. Nothing reads it but what compares it: no rater, no relay, no delivery.

What a build holds: finished windows, late entries, anchors and dead letters of the log from ``low``
to where it is now, and all heads. Both ledgers say where a row was committed (``ckpt_offset``), and
a build commits wherever a snapshot or an invoice looked (``stops``), so rows up to such a position
are comparable while the first ledger goes on.
"""
# ruff: noqa: S608 - a constant

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from schemas.errors import RefusedError
from sinks.database import Connection, migrate
from sinks.positions import TopicIdentity
from sinks.snapshots import Snapshot

SCHEMA: Final = "ledger_rebuild"
_LOCK_KEY: Final = 0x7261_636B_7265_6264  # "rackrebd": one rebuild at a time
_TABLES: Final = f"""
    CREATE TABLE {SCHEMA}.build (
        topic_id      uuid NOT NULL,
        from_snapshot bigint,
        goal_snapshot bigint,
        began_at      timestamptz NOT NULL DEFAULT now()
    );
    CREATE TABLE {SCHEMA}.build_part (part integer PRIMARY KEY, low bigint NOT NULL);
    CREATE TABLE {SCHEMA}.difference (
        kind         text NOT NULL,
        what         text NOT NULL,
        part         integer,
        server_id    text,
        window_start timestamptz,
        origin       text,
        at           timestamptz,
        anchor       text,
        "offset"     bigint,
        live_id      bigint,
        built_id     bigint
    );
"""


@dataclass(frozen=True, slots=True)
class Build:
    """``low``: partition → where it began; ``positions``: → how far it is."""

    topic_id: UUID
    from_snapshot: int | None
    goal_snapshot: int | None
    began_at: datetime
    low: dict[int, int]
    positions: dict[int, int]

    @property
    def snapshots(self) -> list[int]:
        """Those that must not be deleted."""
        return [each for each in (self.from_snapshot, self.goal_snapshot) if each is not None]


def address(url: str) -> str:
    """The database's address with the second ledger in the place of the first."""
    options = f"{conninfo_to_dict(url).get('options', '')} -c search_path={SCHEMA}"
    return make_conninfo(url, options=options.strip())


def alone(conn: Connection) -> None:
    """Until the connection ends, nobody else builds, compares or swaps."""
    row = conn.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK_KEY,)).fetchone()
    if row is None or not row[0]:
        raise RefusedError("Another rebuild of this ledger is running: wait for it, or stop it.")


def current(conn: Connection) -> Build | None:
    """The build that there is; one whose beginning was interrupted is none."""
    found = conn.execute("SELECT to_regclass(%s) IS NOT NULL", (f"{SCHEMA}.build",)).fetchone()
    if found is None or not found[0]:
        return None
    row = conn.execute(
        f"SELECT topic_id, from_snapshot, goal_snapshot, began_at FROM {SCHEMA}.build"
    ).fetchone()
    if row is None:
        return None
    parts = conn.execute(
        f"SELECT part, low, next_offset FROM {SCHEMA}.build_part"
        f" JOIN {SCHEMA}.ingest_offset USING (part) ORDER BY part"
    ).fetchall()
    low, positions = {p: at for p, at, _ in parts}, {p: at for p, _, at in parts}
    topic_id, start, goal, began_at = row
    return Build(topic_id, start, goal, began_at, low, positions)


def begin(conn: Connection, url: str, topic: TopicIdentity, snapshot: Snapshot | None) -> Build:
    """Makes the second ledger, with nothing in it or with the heads of a snapshot.

    1. Drop what is left of a former one. A crash: there is none.
    2. Make the schema and run all migrations in it. A crash: the next call begins with 1.
    3. Copy topic, positions, series and heads and enter the build, in one transaction. As 2.
    """
    _refuse_other_topics(conn, topic)
    discard(conn)
    conn.execute(f"CREATE SCHEMA {SCHEMA}")
    migrate(address(url), second=True)
    with conn.transaction():
        conn.execute(_TABLES)
        conn.execute(
            f"INSERT INTO {SCHEMA}.ingest_topic SELECT * FROM ingest_topic WHERE topic_id = %s",
            (topic.topic_id,),
        )
        if snapshot is None:
            _begin_empty(conn, topic)
        else:
            _begin_from(conn, snapshot.snapshot_id)
        conn.execute(
            f"INSERT INTO {SCHEMA}.build_part SELECT part, next_offset FROM {SCHEMA}.ingest_offset"
        )
        conn.execute(
            f"INSERT INTO {SCHEMA}.build (topic_id, from_snapshot) VALUES (%s, %s)",
            (topic.topic_id, snapshot and snapshot.snapshot_id),
        )
    made = current(conn)
    assert made is not None
    return made


def _refuse_other_topics(conn: Connection, topic: TopicIdentity) -> None:
    """Rows do not say which topic they are from, only where in it they were committed."""
    other = conn.execute(
        "SELECT t.name, t.topic_id FROM ingest_offset o JOIN ingest_topic t USING (topic_id)"
        " WHERE o.topic_id <> %s AND o.next_offset > 0 LIMIT 1",
        (topic.topic_id,),
    ).fetchone()
    if other is not None:
        raise RefusedError(
            f"The ledger was fed from another topic too ({other[0]}, id {other[1]}): what came from"
            " there cannot be told from what came from this one, so it cannot be rebuilt."
        )


def _begin_empty(conn: Connection, topic: TopicIdentity) -> None:
    conn.execute(
        f"INSERT INTO {SCHEMA}.ingest_offset (topic_id, part)"
        " SELECT %s, generate_series(0, %s - 1)",
        (topic.topic_id, topic.partitions),
    )


def _begin_from(conn: Connection, snapshot: int) -> None:
    """Ids of series are kept for what is copied; the sequence goes on behind them."""
    conn.execute(
        f"INSERT INTO {SCHEMA}.ingest_offset"
        " (topic_id, part, next_offset, append_ms, counts)"
        " SELECT topic_id, part, next_offset, append_ms, counts FROM snapshot_offset"
        " WHERE snapshot_id = %s",
        (snapshot,),
    )
    conn.execute(
        f"""
        INSERT INTO {SCHEMA}.series_set (set_id, digest, meter, resource) OVERRIDING SYSTEM VALUE
        SELECT set_id, digest, meter, resource FROM series_set WHERE set_id IN (
            SELECT set_id FROM snapshot_state WHERE snapshot_id = %(it)s
            UNION SELECT set_id FROM snapshot_origin WHERE snapshot_id = %(it)s)
        """,
        {"it": snapshot},
    )
    conn.execute(
        f"SELECT setval(pg_get_serial_sequence('{SCHEMA}.series_set', 'set_id'),"
        f" coalesce((SELECT max(set_id) FROM {SCHEMA}.series_set), 0) + 1, false)"
    )
    for table, source in (("server_state", "snapshot_state"), ("server_origin", "snapshot_origin")):
        names = columns(conn, table)
        conn.execute(
            f"INSERT INTO {SCHEMA}.{table} ({names}) SELECT {names} FROM {source}"
            " WHERE snapshot_id = %s",
            (snapshot,),
        )


def columns(conn: Connection, table: str) -> str:
    """The columns of a table, as a list for SQL."""
    rows = conn.execute(
        "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = %s::regclass"
        " AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        (table,),
    ).fetchall()
    return ", ".join(row[0] for row in rows)


def set_goal(conn: Connection, snapshot: Snapshot) -> None:
    """The position up to which to build; it is where the ledgers can be compared whole."""
    conn.execute(f"UPDATE {SCHEMA}.build SET goal_snapshot = %s", (snapshot.snapshot_id,))


def stops(conn: Connection, topic_id: UUID) -> dict[int, list[int]]:
    """Partition → positions at which invoices and snapshots looked, ascending."""
    rows = conn.execute(
        "SELECT part, array_agg(DISTINCT next_offset ORDER BY next_offset) FROM ("
        " SELECT topic_id, part, next_offset FROM invoice_cut"
        " UNION ALL SELECT topic_id, part, next_offset FROM snapshot_offset"
        ") looked WHERE topic_id = %s GROUP BY part",
        (topic_id,),
    ).fetchall()
    return dict(rows)


def discard(conn: Connection) -> None:
    """Drops the second ledger."""
    conn.execute("SET client_min_messages = warning")
    conn.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


def sizes(conn: Connection) -> dict[str, int]:
    """How much the second ledger holds."""
    tables = {
        "windows": "usage_window",
        "late entries": "usage_late",
        "anchors": "reading_anchor",
        "dead letters": "dead_letter",
        "heads": "server_state",
        "former origins": "server_origin",
    }
    return {
        name: row[0]
        for name, table in tables.items()
        if (row := conn.execute(f"SELECT count(*) FROM {SCHEMA}.{table}").fetchone())
    }
