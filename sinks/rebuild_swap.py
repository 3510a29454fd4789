"""What was rebuilt takes the place of what differs from it: one transaction, refused or whole.

Only rows that differ are written, so every other row keeps the position at which invoices saw it.
"""
# ruff: noqa: S608 - constants and names of columns

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from schemas.errors import RefusedError
from sinks.audit import Act, record
from sinks.database import Connection
from sinks.rebuild import SCHEMA, Build, columns, current
from sinks.rebuild_compare import (
    HEADS,
    Quantity,
    Vector,
    changes,
    damaged_sets,
    find_heads,
    find_rows,
    quantities,
)
from sinks.rebuild_sql import Source
from sinks.store.touched import name_changed

AUDITED: Final = 1_000
"""Sums that are kept with a swap; more of them are counted."""


class SealedError(RefusedError):
    """Invoices rest on what would change; ``quantities`` are what must become adjustments."""

    def __init__(self, found: Sequence[Quantity]) -> None:
        super().__init__(
            "An invoice that is sealed rests on quantities that would change; nothing was changed."
            " Sealed periods are never rewritten: what is listed must become adjustments."
        )
        self.quantities = tuple(found)


@dataclass(frozen=True, slots=True)
class Swapped:
    """``changes``: kind of row → what was wrong with it in the live ledger → how many."""

    swap_id: int | None
    """None: nothing was to be changed, or nothing was meant to be."""
    changes: dict[str, dict[str, int]]
    quantities: list[Quantity]
    positions: dict[int, int]


@dataclass(frozen=True, slots=True)
class _Kind:
    """A table; ``match``: its column → that of a difference which names the row."""

    table: str
    match: dict[str, str]
    conflict: str
    sets: bool = True
    kept: tuple[str, ...] = ()
    """Columns that a row which stays keeps."""


_SERVER: Final = {"server_id": "server_id"}
_KINDS: Final = {
    "window": _Kind(
        "usage_window",
        {**_SERVER, "window_start": "window_start"},
        "server_id, window_start",
    ),
    "anchor": _Kind(
        "reading_anchor",
        {**_SERVER, "origin": "origin", "at": "at", "kind": "anchor"},
        "server_id, origin, at, kind",
    ),
    "dead letter": _Kind(
        "dead_letter",
        {"part": "part", '"offset"': '"offset"'},
        'topic_id, part, "offset"',
        sets=False,
        kept=("published", "retried_ms"),
    ),
    "state": _Kind("server_state", {"part": "part", **_SERVER}, "part, server_id"),
    "origin": _Kind("server_origin", {**_SERVER, "origin": "origin"}, "server_id, origin"),
}


def swap(
    conn: Connection, build: Build, compared: Vector, who: str, why: str, *, dry_run: bool = False
) -> Swapped | None:
    """Puts the rebuilt rows in; None when a worker has moved a position meanwhile.

    Differences up to ``compared`` have been found. Workers wait at the lock of their position.

    1. Lock all positions; go back unless both ledgers are at the same. A crash: nothing.
    2. Find what differs since ``compared``, and in the heads. Refuse what a seal covers. As 1.
    3. Write the rows that differ. Where heads change, take the partitions from their owners, who
       have the former heads in memory and claim anew; and delete the snapshots taken since the
       build's beginning, which have them too. A crash: the server rolls back.
    4. Have the open periods of these servers rated anew; enter who did it and why. As 3.
    5. COMMIT. A crash before the answer: ``ledger_swap`` says what happened.
    """
    number = None
    with conn.transaction():
        conn.execute("SET LOCAL synchronous_commit = on")
        positions = _locked(conn, build.topic_id)
        now = current(conn)
        if now is None or now.positions != positions:
            return None
        find_rows(conn, build.topic_id, compared, positions)
        find_heads(conn, build.topic_id, Source())
        found = quantities(conn, Source(), build.low, positions, AUDITED)
        _refuse(conn, found)
        said = changes(conn)
        if said and not dry_run:
            _write(conn, build, said)
            number = _enter(conn, build, who, why, positions, said, found)
    return Swapped(number, said, found, positions)


def _locked(conn: Connection, topic_id: UUID) -> dict[int, int]:
    rows = conn.execute(
        "SELECT part, next_offset FROM ingest_offset WHERE topic_id = %s ORDER BY part FOR UPDATE",
        (topic_id,),
    ).fetchall()
    return dict(rows)


def _refuse(conn: Connection, found: Sequence[Quantity]) -> None:
    if damaged := damaged_sets(conn):
        raise RefusedError(
            f"Series set {damaged[0]} does not hold the names that its digest says"
            f" ({len(damaged)} do not): mend series_set before anything else, all rows that"
            " refer to it say something else until then."
        )
    if sealed := [each for each in found if each.sealed]:
        raise SealedError(sealed)


def _write(conn: Connection, build: Build, said: dict[str, dict[str, int]]) -> None:
    conn.execute(
        "INSERT INTO series_set (digest, meter, resource)"
        f" SELECT digest, meter, resource FROM {SCHEMA}.series_set r"
        " WHERE NOT EXISTS (SELECT FROM series_set l WHERE l.digest = r.digest)"
        " ON CONFLICT DO NOTHING"
    )
    if "window" in said:
        name_changed(conn, f"{SCHEMA}.difference WHERE kind = 'window'")
    for name in said.keys() & _KINDS.keys():
        _put(conn, name, _KINDS[name])
    _put_late(conn)
    if said.keys() & set(HEADS):
        conn.execute(
            "UPDATE ingest_offset l SET counts = r.counts, owner = %s, epoch = l.epoch + 1"
            f" FROM {SCHEMA}.ingest_offset r"
            " WHERE l.topic_id = %s AND r.topic_id = l.topic_id AND r.part = l.part",
            (uuid4(), build.topic_id),
        )
        conn.execute(
            "DELETE FROM ledger_snapshot WHERE snapshot_id > %s", (build.from_snapshot or 0,)
        )
    conn.execute(
        f"""
        UPDATE accrual SET next_eval_at = now() WHERE period_end > now() AND scope_id IN (
            SELECT i.scope_id FROM {SCHEMA}.difference d
            JOIN assignment a USING (server_id) JOIN item i USING (item_id))
        """
    )


def _put(conn: Connection, name: str, kind: _Kind) -> None:
    """Delete what is not in the twin, insert or change what is."""
    same = " AND ".join(f"x.{mine} = d.{its}" for mine, its in kind.match.items())
    conn.execute(
        f"DELETE FROM {kind.table} x USING {SCHEMA}.difference d"
        f" WHERE d.kind = %s AND d.what = 'extra' AND {same}",
        (name,),
    )
    every = columns(conn, kind.table).split(", ")
    changed = [each for each in every if each not in kind.kept]
    conn.execute(
        f"""
        INSERT INTO {kind.table} ({", ".join(every)})
        SELECT {_values(every)} FROM {SCHEMA}.{kind.table} x
        JOIN {SCHEMA}.difference d ON {same} {_MAPPED if kind.sets else ""}
        WHERE d.kind = %s AND d.what <> 'extra'
        ON CONFLICT ({kind.conflict})
        DO UPDATE SET {", ".join(f"{each} = EXCLUDED.{each}" for each in changed)}
        """,
        (name,),
    )


_MAPPED: Final = f"""
        JOIN {SCHEMA}.series_set twin ON twin.set_id = x.set_id
        JOIN series_set s ON s.digest = twin.digest"""
"""A set has the same digest in both ledgers, not the same id."""


def _values(names: Sequence[str]) -> str:
    return ", ".join("s.set_id" if name == "set_id" else f"x.{name}" for name in names)


def _put_late(conn: Connection) -> None:
    conn.execute(
        f"DELETE FROM usage_late x USING {SCHEMA}.difference d"
        " WHERE d.kind = 'late' AND d.what = 'extra' AND d.live_id = x.id"
    )
    every = [name for name in columns(conn, "usage_late").split(", ") if name != "id"]
    conn.execute(
        f"""
        INSERT INTO usage_late ({", ".join(every)})
        SELECT {_values(every)} FROM {SCHEMA}.usage_late x
        JOIN {SCHEMA}.difference d ON d.built_id = x.id {_MAPPED}
        WHERE d.kind = 'late' AND d.what = 'missing' ORDER BY x.id
        """
    )


def _enter(
    conn: Connection,
    build: Build,
    who: str,
    why: str,
    positions: Vector,
    said: dict[str, dict[str, int]],
    found: Sequence[Quantity],
) -> int:
    sums = [{**asdict(each), "window": each.window.isoformat()} for each in found]
    row = conn.execute(
        "INSERT INTO ledger_swap (who, why, from_snapshot, positions, changes, quantities)"
        " VALUES (%s, %s, %s, %s, %s, %s) RETURNING swap_id",
        (who, why, build.from_snapshot, Jsonb(dict(positions)), Jsonb(said), Jsonb(sums)),
    ).fetchone()
    assert row is not None
    record(conn, Act("ledger.swap", f"swap/{row[0]}", actor=who, reason=why,
                     after={"changes": said, "sums": len(found)}))  # fmt: skip
    return int(row[0])
