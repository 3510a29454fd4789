"""A ledger beside its log, without worker processes: what the tests of rebuilding share.

Runs as a program too, to be killed: ``python -m tests.rackmeter.rebuilding STEP NTH``.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rackmeter.kafka import cluster
from rackmeter.rebuild_steps import Place, build, place
from rackmeter.settings import load_settings
from sinks.database import Connection
from sinks.rebuild import SCHEMA
from sinks.rebuild_sql import PASSING
from tests.fix_worker import Scene
from tests.sinks.metering import crash_at

TABLES = {
    "usage_window": "server_id, window_start",
    "usage_late": "server_id, window_start, reason, qty",
    "reading_anchor": "server_id, origin, at, kind",
    "dead_letter": 'part, "offset"',
    "server_state": "part, server_id",
    "server_origin": "server_id, origin",
}
BUT = {"ckpt_offset", "id", "set_id", "published", *PASSING}
"""What may differ: where checkpoints were, numbers handed out, and what is not compared."""


@contextmanager
def place_of(scene: Scene, **changes: object) -> Iterator[Place]:
    environment = {
        name: value for name, value in scene.environment.items() if name.startswith("RACKMETER_")
    }
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        settings = load_settings(**changes)
        with place(settings, scene.url, cluster(settings)) as at:
            yield at
    finally:
        os.environ.clear()
        os.environ.update(before)


def rows(conn: Connection, table: str, schema: str = "public") -> list[tuple[object, ...]]:
    """All of a table, series by name."""
    found = conn.execute(
        "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = %s::regclass"
        " AND attnum > 0 ORDER BY attnum",
        (f"{schema}.{table}",),
    ).fetchall()
    names = [name for (name,) in found if name not in BUT]
    sets = any(name == "set_id" for (name,) in found)
    join = f"JOIN {schema}.series_set s USING (set_id)" if sets else ""
    more = ", s.meter, s.resource" if sets else ""
    return conn.execute(
        f"SELECT {', '.join('x.' + name for name in names)}{more}"
        f" FROM {schema}.{table} x {join} ORDER BY {TABLES[table]}"
    ).fetchall()


def assert_same(conn: Connection) -> None:
    """The second ledger is the first, to the row."""
    for table in TABLES:
        live = rows(conn, table)
        assert rows(conn, table, SCHEMA) == live, table
    counts = "SELECT part, next_offset, counts FROM {}.ingest_offset ORDER BY 1"
    assert (
        conn.execute(counts.format("public")).fetchall()
        == conn.execute(counts.format(SCHEMA)).fetchall()
    )


if __name__ == "__main__":
    settings = load_settings()
    assert settings.database_url is not None
    with place(settings, settings.database_url, cluster(settings)) as at:
        build(
            at,
            failpoint=crash_at(
                sys.argv[1], int(sys.argv[2]), lambda: os.kill(os.getpid(), signal.SIGKILL)
            ),
        )
