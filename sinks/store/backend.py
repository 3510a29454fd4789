"""What the ledger lies on: plain PostgreSQL or TimescaleDB. Reads only."""

from dataclasses import dataclass
from typing import Final

from schemas.errors import ConfigError
from sinks.database import Connection

TIMESCALE_MIN: Final = (2, 29, 2)
"""Before it: wrong results of SkipScan and bloom filters (its changelog, 2.27 to 2.29.2)."""


@dataclass(frozen=True, slots=True)
class Backend:
    """``name``: what the tables are; ``extension``: of the database, whether they use it or not.

    ``offered``: the version that could be created here, None where there is none.
    """

    name: str | None
    server: str
    extension: str | None
    offered: str | None

    @property
    def timescale(self) -> bool:
        return self.name == "timescaledb"

    @property
    def outdated(self) -> bool:
        """A TimescaleDB that is in use and older than we trust."""
        return self.timescale and _number(self.extension) < TIMESCALE_MIN

    def sentence(self) -> str:
        """What was found, and what to do where that is less than there could be."""
        server = f"PostgreSQL {self.server}"
        if self.timescale:
            wanted = ".".join(map(str, TIMESCALE_MIN))
            old = f"; before {wanted} it has given wrong results: upgrade it"
            warning = old if self.outdated else ""
            return f"TimescaleDB {self.extension} on {server}: hypertables{warning}"
        if self.extension or self.offered:
            return (
                f"{server}: partitions by month; TimescaleDB {self.extension or self.offered} is"
                " there and not used: `rackmeter db convert` moves the ledger to it"
            )
        return f"{server}: partitions by month"


def backend(conn: Connection) -> Backend:
    """What is there, before a migration (``name`` is None) and after it."""
    row = conn.execute(
        "SELECT split_part(current_setting('server_version'), ' ', 1),"
        " (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'),"
        " (SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb'"
        "  AND (SELECT setting LIKE '%timescaledb%' FROM pg_settings"  # hidden from most logins
        "       WHERE name = 'shared_preload_libraries')),"
        " to_regprocedure('store_backend()') IS NOT NULL"
    ).fetchone()
    assert row is not None
    server, extension, offered, made = row
    named = conn.execute("SELECT store_backend()").fetchone() if made else None
    return Backend(named[0] if named else None, server, extension, offered)


def require_community(conn: Connection) -> None:
    """Raises where TimescaleDB lacks what its own licence covers: the ledger needs it whole."""
    row = conn.execute("SELECT current_setting('timescaledb.license', true)").fetchone()
    if row is not None and row[0] == "apache":
        raise ConfigError(
            "This TimescaleDB is its Apache edition, without continuous aggregates and columnstore:"
            " set timescaledb.license = 'timescale', or use plain PostgreSQL."
        )


def _number(version: str | None) -> tuple[int, ...]:
    digits = (version or "0").split("-")[0].split(".")
    return tuple(int(part) for part in digits)
