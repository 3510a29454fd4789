"""Moving a plain ledger to TimescaleDB, in its place: every row kept, compared before the commit.

Windows are copied day by day into a hypertable beside the partitions; what is interrupted goes on
where the days differ. Then one transaction puts the hypertable in their place.
"""
# ruff: noqa: S608 - constants and names from the catalogue

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg import sql

from schemas.errors import ConfigError, RefusedError
from sinks.database import Connection
from sinks.migrations import script
from sinks.store.backend import backend, require_community
from sinks.store.marks import alone, standing_still

NEXT: Final = "usage_window_next"
OLD: Final = "usage_window_plain"
STORED: Final = ("usage_hour_stored", "usage_day_stored")
_COLUMNS: Final = "server_id, window_start, set_id, qty, covered_ms, part, ckpt_offset"


@dataclass(frozen=True, slots=True)
class Converted:
    """``digest``: of all rows, the same before and after; ``copied``: days this call copied."""

    windows: int
    days: int
    copied: int
    digest: int


Day = tuple[datetime, int, int]
"""A UTC day, its rows, the sum of their hashes."""


def convert(conn: Connection, progress: Callable[[str], None]) -> Converted:
    """On an autocommit connection of the tables' owner.

    1. Refuse while a worker holds a claim. Make extension and hypertable. A crash: they stay.
    2. Copy each day that differs, in a transaction of its own. A crash: the next call goes on.
    3. Keep workers and readers out; compare all days once more; put the hypertable, its aggregates
       and their views in the place of the partitions; drop these. A crash: the server rolls back.
    """
    with alone(conn):
        _begin(conn)
        differing = [day for day, *_ in _days(conn, "usage_window", NEXT)]
        for number, day in enumerate(differing, 1):
            _copy(conn, day)
            progress(f"day {number} of {len(differing)}: {day:%Y-%m-%d}")
        with standing_still(conn):
            conn.execute("LOCK TABLE ingest_offset IN SHARE ROW EXCLUSIVE MODE")
            _refuse_workers(conn)
            conn.execute("LOCK TABLE usage_window IN ACCESS EXCLUSIVE MODE")
            if left := _days(conn, "usage_window", NEXT):
                raise RefusedError(
                    f"Windows of {left[0][0]:%Y-%m-%d} came while they were copied: run it again."
                )
            every = _days(conn, "usage_window", None)
            _swap(conn)
    windows, digest = sum(row[1] for row in every), sum(row[2] for row in every)
    return Converted(windows, len(every), len(differing), digest)


def _begin(conn: Connection) -> None:
    found = backend(conn)
    if found.timescale:
        raise RefusedError("The ledger lies on TimescaleDB already.")
    if found.extension is None and found.offered is None:
        raise ConfigError(
            "This server has no TimescaleDB: install it and add it to shared_preload_libraries."
        )
    _refuse_workers(conn)
    conn.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    require_community(conn)
    if conn.execute("SELECT to_regclass(%s)", (NEXT,)).fetchone() == (None,):
        with conn.transaction():
            conn.execute(f"CREATE TABLE {NEXT} (LIKE usage_window INCLUDING ALL)")
            conn.execute(
                f"SELECT create_hypertable('{NEXT}', 'window_start',"
                " chunk_time_interval => interval '7 days', create_default_indexes => false)"
            )


def _refuse_workers(conn: Connection) -> None:
    row = conn.execute(
        "SELECT string_agg(o.part::text, ', ' ORDER BY o.part) FROM ingest_offset o"
        " JOIN pg_stat_activity a ON a.pid = o.backend_pid AND a.backend_start = o.backend_start"
    ).fetchone()
    if row is not None and row[0] is not None:
        raise RefusedError(f"Workers hold the partitions {row[0]}: stop them first.")


def _days(conn: Connection, table: str, other: str | None) -> list[Day]:
    """The days of a table, or only those that are not the same in the other."""
    mine, its = _digests(table), _digests(other) if other else None
    statement = (
        f"{mine} ORDER BY 1"
        if its is None
        else f"SELECT day, coalesce(m.rows, 0), coalesce(m.digest, 0) FROM ({mine}) m"
        f" FULL JOIN ({its}) i USING (day)"
        " WHERE (m.rows, m.digest) IS DISTINCT FROM (i.rows, i.digest) ORDER BY 1"
    )
    return [(day, int(rows), int(digest)) for day, rows, digest in conn.execute(statement)]


def _digests(table: str) -> str:
    return (
        "SELECT date_trunc('day', window_start, 'UTC') AS day, count(*) AS rows,"
        f" sum(hashtextextended(ROW({_COLUMNS})::text, 0)) AS digest FROM {table} GROUP BY 1"
    )


def _copy(conn: Connection, day: datetime) -> None:
    span = {"day": day}
    within = "window_start >= %(day)s AND window_start < %(day)s + interval '1 day'"
    with conn.transaction():
        conn.execute(f"DELETE FROM {NEXT} WHERE {within}", span)
        conn.execute(
            f"INSERT INTO {NEXT} ({_COLUMNS}) SELECT {_COLUMNS} FROM usage_window"
            f" WHERE {within} ORDER BY server_id, window_start",
            span,
        )


def _swap(conn: Connection) -> None:
    """Views of the partitions become views of the hypertable; what reads those is not touched."""
    views = _views(conn, ("usage_window", *STORED))
    granted = _grants(conn, ("usage_window", *STORED))
    conn.execute(f"ALTER TABLE usage_window RENAME TO {OLD}")
    for name in STORED:
        conn.execute(f"ALTER TABLE {name} RENAME TO {name}_plain")
    _rename_indexes(conn)
    conn.execute(f"ALTER TABLE {NEXT} RENAME TO usage_window")
    conn.execute(_aggregates())
    for statement in (*granted, *views):
        conn.execute(statement)
    _keep_frozen(conn)
    conn.execute("UPDATE store_mark SET stored = dropped, closing = dropped")
    conn.execute("DELETE FROM usage_stale USING store_mark WHERE hour >= dropped")
    conn.execute(f"DROP TABLE {OLD}, usage_hour_stored_plain, usage_day_stored_plain")


def _views(conn: Connection, tables: tuple[str, ...]) -> list[sql.Composed]:
    """Statements that make those views again which read one of the tables, as they are now."""
    rows = conn.execute(
        """
        SELECT DISTINCT c.oid::regclass::text, pg_get_viewdef(c.oid),
               array_to_string(c.reloptions, ', ')
        FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
        JOIN pg_class c ON c.oid = r.ev_class
        WHERE c.relkind = 'v' AND d.refobjid = ANY(%s::regclass[]::oid[]) ORDER BY 1
        """,
        (list(tables),),
    ).fetchall()
    return [
        sql.SQL("CREATE OR REPLACE VIEW {} {} AS {}").format(
            sql.SQL(name), sql.SQL(f"WITH ({options})" if options else ""), sql.SQL(body)
        )
        for name, body, options in rows
    ]


def _grants(conn: Connection, tables: tuple[str, ...]) -> list[sql.Composed]:
    rows = conn.execute(
        """
        SELECT a.privilege_type, c.relname::text, a.grantee::regrole::text
        FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = ANY(%s::regclass[]::oid[]) AND a.grantee <> c.relowner AND a.grantee <> 0
        """,
        (list(tables),),
    ).fetchall()
    return [
        sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(what), sql.Identifier(on), sql.SQL(to))
        for what, on, to in rows
    ]


def _rename_indexes(conn: Connection) -> None:
    for before, after in (
        ("usage_window_pkey", f"{OLD}_pkey"),
        ("usage_window_start", f"{OLD}_start"),
        (f"{NEXT}_pkey", "usage_window_pkey"),
        (f"{NEXT}_window_start_idx", "usage_window_start"),
    ):
        conn.execute(f"ALTER INDEX {before} RENAME TO {after}")


def _aggregates() -> bytes:
    """The part of the migration that makes them, for the tables as they are now."""
    _, head, rest = script("0003_store").partition("DO $store$")
    body, tail, _ = rest.partition("END $store$;")
    return (head + body + tail).encode()


def _keep_frozen(conn: Connection) -> None:
    """Stored hours and days of dropped windows are all there is of them; nothing refreshes them."""
    for name, column in zip(STORED, ("hour", "day"), strict=True):
        row = conn.execute(
            "SELECT format('%%I.%%I', materialization_hypertable_schema,"
            " materialization_hypertable_name) FROM timescaledb_information.continuous_aggregates"
            " WHERE view_schema = current_schema() AND view_name = %s",
            (name,),
        ).fetchone()
        assert row is not None
        columns = f"server_id, {column}, set_id, qty, covered_ms"
        conn.execute(
            f"INSERT INTO {row[0]} ({columns}) SELECT {columns} FROM {name}_plain, store_mark"
            f" WHERE {column} < dropped"
        )
