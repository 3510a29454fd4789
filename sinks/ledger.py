"""Reading and writing the ledger's rows inside somebody else's transaction. Knows no order of
steps.

State rows are absolute: writing one again changes nothing. Windows, late entries, anchors and dead
letters are inserted once; a duplicate key there is a bug and must surface.
"""

import base64
import json
from collections.abc import Callable, Iterable

import numpy as np
from psycopg import Cursor
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from pipeline.heads import Chains, Head, OwnTime
from pipeline.lanes import Lane
from pipeline.records import Names
from sinks.binary import SIGNATURE, TRAILER, window_rows
from sinks.database import Connection
from sinks.series import SeriesSets

IdOf = Callable[[Names], int]
_Cursor = Cursor[TupleRow]

_STATE = (
    "part, server_id, origin, since_ms, seq_hi, seen, at_ms, up_ms, set_id, last, absent,"
    " win_ms, open, cover_ms, flagged"
)
_STATE_TYPES = (
    "int4", "text", "text", "int8", "int8", "bytea", "int8", "int8", "int4", "int8[]", "jsonb",
    "int8", "int8[]", "int4", "text",
)  # fmt: skip
_TAIL = "server_id, origin, part, since_ms, seq_hi, at_ms, up_ms, set_id, last, absent, ordinal"


def load_heads(conn: Connection, part: int, sets: SeriesSets) -> dict[str, Head]:
    """Every server of a partition as the last checkpoint left it."""
    heads: dict[str, Head] = {}
    query = f"SELECT {_STATE} FROM server_state WHERE part = %s"  # noqa: S608 - a constant
    for row in conn.execute(query, (part,)).fetchall():
        server, origin, since_ms, seq_hi, seen, at_ms, up_ms, set_id = row[1:9]
        last, absent, win_ms, opened, cover_ms, flagged = row[9:]
        chains = Chains(
            origin, since_ms, seq_hi, at_ms, up_ms, sets.names(conn, set_id),
            np.array(last, np.int64), _absent_in(absent),
        )  # fmt: skip
        ring = np.frombuffer(seen, np.uint16).copy()
        heads[server] = Head(
            server, chains, ring, win_ms, np.array(opened, np.int64), cover_ms, flagged
        )
    return heads


def load_tails(conn: Connection, server: str, sets: SeriesSets) -> dict[str, Chains]:
    """The former origins of a server."""
    rows = conn.execute(
        f"SELECT {_TAIL} FROM server_origin WHERE server_id = %s",  # noqa: S608 - a constant
        (server,),
    ).fetchall()
    return {
        row[1]: Chains(
            row[1], row[3], row[4], row[5], row[6], sets.names(conn, row[7]),
            np.array(row[8], np.int64), _absent_in(row[9]), row[10],
        )
        for row in rows
    }  # fmt: skip


def copy_states(cur: _Cursor, lane: Lane, id_of: IdOf, into: str) -> None:
    """Dirty heads into a temporary table; sorted, so that two workers lock rows in one order."""
    with cur.copy(f"COPY {into} ({_STATE}) FROM STDIN WITH (FORMAT binary)") as copy:
        copy.set_types(_STATE_TYPES)
        for server in sorted(lane.out.dirty & lane.heads.keys()):
            head = lane.heads[server]
            c = head.chains
            copy.write_row(
                (
                    lane.part, server, c.origin, c.since_ms, c.seq_hi, head.seen.tobytes(), c.at_ms,
                    c.up_ms, id_of(c.names), c.last.tolist(), _absent_out(c.absent), head.win_ms,
                    head.open.tolist(), head.cover_ms, head.flagged,
                )
            )  # fmt: skip


def upsert_states(cur: _Cursor, source: str) -> None:
    columns = [name.strip() for name in _STATE.split(",")]
    changed = ", ".join(f"{name} = EXCLUDED.{name}" for name in columns[2:])
    cur.execute(
        f"INSERT INTO server_state ({_STATE}) SELECT {_STATE} FROM {source}"  # noqa: S608
        f" ON CONFLICT (part, server_id) DO UPDATE SET {changed}"
    )


def copy_windows(cur: _Cursor, lane: Lane, id_of: IdOf) -> None:
    with cur.copy(
        "COPY usage_window (server_id, window_start, set_id, qty, covered_ms, part, ckpt_offset)"
        " FROM STDIN WITH (FORMAT binary)"
    ) as copy:
        copy.write(SIGNATURE)
        for block in lane.out.finished:
            copy.write(window_rows(block, id_of(block.names), lane.part, lane.expect))
        copy.write(TRAILER)


def upsert_tails(cur: _Cursor, lane: Lane, id_of: IdOf) -> None:
    rows = []
    for server, origin in sorted(lane.out.dirty_tails):
        c = lane.out.tails(server)[origin]
        rows.append(
            (
                server, origin, lane.part, c.since_ms, c.seq_hi, c.at_ms, c.up_ms, id_of(c.names),
                c.last.tolist(), _absent_out(c.absent), c.order,
            )
        )  # fmt: skip
    cur.executemany(
        f"INSERT INTO server_origin ({_TAIL}) VALUES"  # noqa: S608 - a constant
        " (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (server_id, origin) DO UPDATE SET seq_hi = EXCLUDED.seq_hi,"
        " at_ms = EXCLUDED.at_ms, up_ms = EXCLUDED.up_ms, set_id = EXCLUDED.set_id,"
        " last = EXCLUDED.last, absent = EXCLUDED.absent",
        rows,
    )


def insert_late(cur: _Cursor, lane: Lane, id_of: IdOf) -> None:
    cur.executemany(
        "INSERT INTO usage_late (server_id, window_start, set_id, qty, part, ckpt_offset, reason)"
        " VALUES (%s, to_timestamp(%s::bigint / 1000), %s, %s, %s, %s, %s)",
        [
            (r.server, r.win_ms, id_of(r.names), r.qty.tolist(), lane.part, lane.expect, r.reason)
            for r in lane.out.late
        ],
    )


def insert_anchors(cur: _Cursor, lane: Lane, id_of: IdOf) -> None:
    cur.executemany(
        "INSERT INTO reading_anchor"
        ' (server_id, origin, at, kind, seq, set_id, value, topic_id, part, "offset")'
        " VALUES (%s, %s, to_timestamp(%s::numeric / 1000), %s, %s, %s, %s, %s, %s, %s)",
        [
            (
                a.server, a.origin, a.at_ms, a.kind, a.seq, id_of(a.names), a.value.tolist(),
                lane.topic_id, lane.part, a.offset,
            )
            for a in lane.out.anchors
        ],
    )  # fmt: skip


def insert_dead(cur: _Cursor, lane: Lane) -> None:
    cur.executemany(
        "INSERT INTO dead_letter"
        ' (topic_id, part, "offset", reason, detail, key, payload, headers, append_ms)'
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            (
                lane.topic_id, lane.part, d.offset, d.reason.value, _text(d.detail), d.key,
                d.payload, _headers(d.headers), d.append_ms,
            )
            for d in lane.out.dead
        ],
    )  # fmt: skip


def names_in(lane: Lane) -> Iterable[Names]:
    """Every series set that the next checkpoint refers to."""
    out = lane.out
    yield from (lane.heads[s].chains.names for s in out.dirty if s in lane.heads)
    yield from (out.tails(server)[origin].names for server, origin in out.dirty_tails)
    for rows in (out.finished, out.late, out.anchors):
        yield from (row.names for row in rows)


def _absent_out(absent: dict[int, OwnTime]) -> Jsonb | None:
    return Jsonb({str(i): own for i, own in absent.items()}) if absent else None


def _absent_in(stored: dict[str, list[int] | None] | None) -> dict[int, OwnTime]:
    return {int(i): (own[0], own[1]) if own else None for i, own in (stored or {}).items()}


def _headers(headers: Iterable[tuple[str, bytes | None]]) -> str:
    """JSON of ``[name, base64]`` pairs; names are foreign text too."""
    pairs = [
        (_text(name), None if value is None else base64.b64encode(value).decode())
        for name, value in headers
    ]
    return json.dumps(pairs)


def _text(foreign: str) -> str:
    """What PostgreSQL's text can hold: no NUL, no lone surrogate."""
    return foreign.encode("utf-8", "replace").decode().replace("\0", "�")
