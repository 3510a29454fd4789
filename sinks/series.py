"""Ids of series sets: registered in a transaction of their own before any row refers to them."""

import hashlib
from collections.abc import Collection, Iterable
from typing import Final

from pipeline.records import Names
from schemas.report import names_json
from sinks.database import Connection

KNOWN_MAX: Final = 100_000
"""Sets remembered; more distinct ones than a worker's servers can have at a time."""


class SeriesSets:
    """Both directions between names and their id, remembered. A crash leaves at most unused ids.

    Of one connection: the next may lead to a database that was restored, where ids are others.
    """

    def __init__(self) -> None:
        self._ids: dict[Names, int] = {}
        """By object: a report's names are one object for as long as it keeps coming."""
        self._names: dict[int, Names] = {}

    def register(self, conn: Connection, wanted: Iterable[Names]) -> None:
        """Give these names their ids. Commits when any is new: call it outside a transaction."""
        every = set(wanted)
        new = every - self._ids.keys()
        if not new:
            return
        if len(self._ids) + len(new) > KNOWN_MAX:
            self._ids.clear()
            new = every
        # Remembered only when they are there for good: what is referred to must exist, and a crash
        # of the database takes back commits that nobody waited for.
        conn.execute("SET LOCAL synchronous_commit = on")
        ids = _insert(conn, new)
        conn.commit()
        self._ids |= ids

    def id_of(self, names: Names) -> int:
        """The id of registered names."""
        return self._ids[names]

    def names(self, conn: Connection, set_id: int) -> Names:
        if set_id not in self._names:
            self.load(conn, [set_id])
        return self._names[set_id]

    def load(self, conn: Connection, set_ids: Iterable[int]) -> None:
        """Remember the names of these ids."""
        every = set(set_ids)
        new = every - self._names.keys()
        if len(self._names) + len(new) > KNOWN_MAX:
            self._names.clear()
            new = every
        rows = conn.execute(
            "SELECT set_id, meter, resource FROM series_set WHERE set_id = ANY(%s)", (list(new),)
        ).fetchall()
        for set_id, meter, resource in rows:
            known = Names.of(meter, resource)
            self._names[set_id] = known
            self._ids[known] = set_id


def _insert(conn: Connection, new: Collection[Names]) -> dict[Names, int]:
    digests = {names: digest_of(names.meter, names.resource) for names in new}
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO series_set (digest, meter, resource) VALUES (%s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            [(digests[names], list(names.meter), list(names.resource)) for names in new],
        )
    rows = conn.execute(
        "SELECT digest, set_id FROM series_set WHERE digest = ANY(%s)", (list(digests.values()),)
    ).fetchall()
    ids = {bytes(digest): set_id for digest, set_id in rows}
    return {names: ids[digest] for names, digest in digests.items()}


def digest_of(meter: Iterable[str], resource: Iterable[str]) -> bytes:
    """The identity of a set: its names in their order."""
    return hashlib.sha256(names_json(tuple(meter), tuple(resource)).encode()).digest()
