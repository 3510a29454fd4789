"""Ids of series sets: registered in a transaction of their own before any row refers to them."""

import hashlib
from typing import Final

from pipeline.records import Names
from schemas.report import names_json
from sinks.database import Connection

KNOWN_MAX: Final = 100_000
"""Sets remembered; more distinct ones than a worker's servers can have at a time."""


class SeriesSets:
    """Both directions between names and their id, remembered. A crash leaves at most unused ids."""

    def __init__(self) -> None:
        self._ids: dict[tuple[tuple[str, ...], tuple[str, ...]], int] = {}
        self._names: dict[int, Names] = {}

    def register(self, conn: Connection, names: Names) -> int:
        """The id of these names. Commits when it is new, so call it outside a transaction."""
        key = (names.meter, names.resource)
        if key not in self._ids:
            if len(self._ids) >= KNOWN_MAX:
                self._ids.clear()
            set_id = _insert(conn, names)
            # Remembered only when it is there for good: what is referred to must exist.
            conn.commit()
            self._ids[key] = set_id
        return self._ids[key]

    def names(self, conn: Connection, set_id: int) -> Names:
        if set_id not in self._names:
            if len(self._names) >= KNOWN_MAX:
                self._names.clear()
            row = conn.execute(
                "SELECT meter, resource FROM series_set WHERE set_id = %s", (set_id,)
            ).fetchone()
            assert row is not None, "a foreign key holds it"
            known = Names.of(row[0], row[1])
            self._names[set_id] = known
            self._ids[known.meter, known.resource] = set_id
        return self._names[set_id]


def _insert(conn: Connection, names: Names) -> int:
    digest = hashlib.sha256(names_json(names.meter, names.resource).encode()).digest()
    conn.execute(
        "INSERT INTO series_set (digest, meter, resource) VALUES (%s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        (digest, list(names.meter), list(names.resource)),
    )
    row = conn.execute("SELECT set_id FROM series_set WHERE digest = %s", (digest,)).fetchone()
    assert row is not None
    return int(row[0])
