"""Reading and writing the ledger's rows inside somebody else's transaction. Knows no order of
steps.

State rows are absolute: writing one again changes nothing. Windows, late entries, anchors and dead
letters are inserted once; a duplicate key there is a bug and must surface.
"""

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Cursor
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from pipeline.heads import Chains, OwnTime, objects
from pipeline.lanes import Sealed
from pipeline.records import Int64s, Names
from pipeline.shelves import Heads
from sinks.binary import (
    SIGNATURE,
    STATE,
    TRAILER,
    WINDOW,
    int8_rows,
    state_rows,
    window_rows,
)
from sinks.database import Connection
from sinks.series import SeriesSets

IdOf = Callable[[Names], int]
_Cursor = Cursor[TupleRow]

_STATE = STATE.split(", ")
_SET_ID = _STATE.index("set_id")
_NUMBERS = (
    *("since_ms", "seq_hi", "at_ms", "up_ms", "win_ms", "cover_ms", "ordinal", "origins"),
    *("hour", "hour_origins", "hour_series"),
)
_SHELF = {"server_id": "server", "ordinal": "order"}
"""What a shelf calls it."""
_TAIL = "server_id, origin, part, since_ms, seq_hi, at_ms, up_ms, set_id, last, absent, ordinal"


def load_heads(conn: Connection, part: int, sets: SeriesSets) -> Heads:
    """Every server of a partition as the last checkpoint left it."""
    columns = STATE.replace(" last,", " array_send(last),").replace(" open,", " array_send(open),")
    query = f"SELECT {columns} FROM server_state WHERE part = %s"  # noqa: S608 - a constant
    rows = conn.cursor(binary=True).execute(query, (part,)).fetchall()
    sets.load(conn, {row[_SET_ID] for row in rows})
    by_width: dict[int, list[TupleRow]] = {}
    for row in rows:
        by_width.setdefault(len(sets.names(conn, row[_SET_ID])), []).append(row)
    heads = Heads()
    for width, alike in by_width.items():
        stored = dict(zip(_STATE, zip(*alike, strict=True), strict=True))
        heads.load(width, _columns(stored, [sets.names(conn, i) for i in stored["set_id"]]))
    return heads


def _columns(stored: Mapping[str, Sequence[Any]], names: list[Names]) -> dict[str, NDArray[Any]]:
    """Rows of ``STATE``, turned, as the columns of a shelf."""
    texts = {name: objects(list(stored[name])) for name in ("server_id", "origin", "flagged")}
    return {
        **{_SHELF.get(name, name): np.array(stored[name], np.int64) for name in _NUMBERS},
        **{_SHELF.get(name, name): column for name, column in texts.items()},
        "names": objects(names),
        "absent": objects([_absent_in(each) for each in stored["absent"]]),
        "seen": np.frombuffer(b"".join(stored["seen"]), np.uint16).reshape(len(names), -1),
        "last": int8_rows(stored["last"]),
        "open": int8_rows(stored["open"]),
    }


def load_tail(conn: Connection, server: str, origin: str, sets: SeriesSets) -> Chains | None:
    """A former origin of a server."""
    row = conn.execute(
        f"SELECT {_TAIL} FROM server_origin WHERE server_id = %s AND origin = %s",  # noqa: S608
        (server, origin),
    ).fetchone()
    if row is None:
        return None
    since_ms, seq_hi, at_ms, up_ms, set_id, last, absent, order = row[3:]
    return Chains(
        origin, since_ms, seq_hi, at_ms, up_ms, sets.names(conn, set_id),
        np.array(last, np.int64), _absent_in(absent), order,
    )  # fmt: skip


def copy_states(cur: _Cursor, sealed: Sequence[Sealed], id_of: IdOf, into: str) -> None:
    """Dirty heads into a temporary table."""
    with cur.copy(f"COPY {into} ({STATE}) FROM STDIN WITH (FORMAT binary)") as copy:
        copy.write(SIGNATURE)
        for one in sealed:
            for states in one.states:
                ids = _ids(states.names, id_of)
                absent = [_absent_out(own) for own in states.absent]
                copy.write(state_rows(states, ids, absent, one.part))
        copy.write(TRAILER)


def upsert_states(cur: _Cursor, source: str) -> None:
    columns = [name.strip() for name in STATE.split(",")]
    changed = ", ".join(
        f"{name} = EXCLUDED.{name}" for name in columns if name not in ("part", "server_id")
    )
    cur.execute(
        f"INSERT INTO server_state ({STATE}) SELECT {STATE} FROM {source}"  # noqa: S608
        f" ON CONFLICT (part, server_id) DO UPDATE SET {changed}"
    )


def copy_windows(
    cur: _Cursor, sealed: Sequence[Sealed], id_of: IdOf, positions: Sequence[int]
) -> None:
    """``positions``: of the checkpoints, with their topic in them (sinks.positions)."""
    with cur.copy(f"COPY usage_window ({WINDOW}) FROM STDIN WITH (FORMAT binary)") as copy:
        copy.write(SIGNATURE)
        for one, position in zip(sealed, positions, strict=True):
            for block in one.out.finished:
                ids = _ids(block.names, id_of)
                copy.write(window_rows(block, ids, one.part, position))
        copy.write(TRAILER)


def upsert_tails(cur: _Cursor, sealed: Sequence[Sealed], id_of: IdOf) -> None:
    rows = [
        (
            server, origin, one.part, c.since_ms, c.seq_hi, c.at_ms, c.up_ms, id_of(c.names),
            c.last.tolist(), Jsonb(c.absent) if c.absent else None, c.order,
        )
        for one in sealed
        for (server, origin), c in sorted(one.out.tails.items(), key=itemgetter(0))
    ]  # fmt: skip
    _enter(
        cur,
        f"INSERT INTO server_origin ({_TAIL}) VALUES"  # noqa: S608 - a constant
        " (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (server_id, origin) DO UPDATE SET seq_hi = EXCLUDED.seq_hi,"
        " at_ms = EXCLUDED.at_ms, up_ms = EXCLUDED.up_ms, set_id = EXCLUDED.set_id,"
        " last = EXCLUDED.last, absent = EXCLUDED.absent",
        rows,
    )


def insert_late(
    cur: _Cursor, sealed: Sequence[Sealed], id_of: IdOf, positions: Sequence[int]
) -> None:
    _enter(
        cur,
        "INSERT INTO usage_late (server_id, window_start, set_id, qty, part, ckpt_offset, reason)"
        " VALUES (%s, to_timestamp(%s::bigint / 1000), %s, %s, %s, %s, %s)",
        [
            (
                r.server,
                r.win_ms,
                id_of(r.names),
                r.qty.tolist(),
                one.part,
                position,
                r.reason,
            )
            for one, position in zip(sealed, positions, strict=True)
            for r in one.out.late
        ],
    )


def insert_anchors(cur: _Cursor, sealed: Sequence[Sealed], id_of: IdOf) -> None:
    _enter(
        cur,
        "INSERT INTO reading_anchor"
        ' (server_id, origin, at, kind, seq, set_id, value, topic_id, part, "offset")'
        " VALUES (%s, %s, to_timestamp(%s::numeric / 1000), %s, %s, %s, %s, %s, %s, %s)",
        [
            (
                a.server, a.origin, a.at_ms, a.kind, a.seq, id_of(a.names), a.value.tolist(),
                one.topic_id, one.part, a.offset,
            )
            for one in sealed
            for a in one.out.anchors
        ],
    )  # fmt: skip


def insert_dead(cur: _Cursor, sealed: Sequence[Sealed]) -> None:
    _enter(
        cur,
        "INSERT INTO dead_letter"
        ' (topic_id, part, "offset", reason, detail, key, payload, headers, append_ms, by_broker)'
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            (
                one.topic_id, one.part, d.offset, d.reason.value, _text(d.detail), d.key,
                d.payload, headers_json(d.headers), d.append_ms, d.by_broker,
            )
            for one in sealed
            for d in one.out.dead
        ],
    )  # fmt: skip


def _enter(cur: _Cursor, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Most checkpoints have none of these, and even no rows would cost a round trip."""
    if rows:
        cur.executemany(statement, rows)


def names_in(sealed: Sealed) -> Iterable[Names]:
    """Every series set that its checkpoint refers to."""
    out = sealed.out
    for states in sealed.states:
        yield from states.names
    for block in out.finished:
        yield from block.names
    yield from (chains.names for chains in out.tails.values())
    yield from (row.names for row in out.late)
    yield from (row.names for row in out.anchors)


def _ids(names: Iterable[Names], id_of: IdOf) -> Int64s:
    return np.array([id_of(each) for each in names], np.int64)


def _absent_out(absent: dict[int, OwnTime]) -> bytes | None:
    return json.dumps(absent).encode() if absent else None


def _absent_in(stored: dict[str, list[int] | None] | None) -> dict[int, OwnTime]:
    return {int(i): (own[0], own[1]) if own else None for i, own in (stored or {}).items()}


def headers_json(headers: Iterable[tuple[str, bytes | None]]) -> str:
    """JSON of ``[name, base64]`` pairs; names are foreign text too."""
    pairs = [
        (_text(name), None if value is None else base64.b64encode(value).decode())
        for name, value in headers
    ]
    return json.dumps(pairs)


def headers_of(stored: Iterable[tuple[str, str | None]]) -> list[tuple[str, bytes]]:
    """What ``headers_json`` wrote, as a message can carry it."""
    return [(name, base64.b64decode(value or "")) for name, value in stored]


def _text(foreign: str) -> str:
    """What PostgreSQL's text can hold: no NUL, no lone surrogate."""
    return foreign.encode("utf-8", "replace").decode().replace("\0", "�")
