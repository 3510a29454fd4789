"""What the doctor says of the database: what it is, who may do what, whether it is looked after."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from rackmeter.cli.finding import Finding
from rackmeter.cli.look import looked
from rackmeter.errors import ConfigError, DependencyError, DifferenceError, RefusedError
from sinks.database import Connection
from sinks.health import clock_ahead
from sinks.roles import differences, missing_roles
from sinks.store.backend import Backend, backend
from sinks.store.marks import marks
from sinks.store.partitions import missing
from sinks.store.refresh import stale_hours

PARTITION_DAYS_AHEAD: Final = 7
STALE_HOURS_MAX: Final = 1000
"""Of servers: each quarter of an hour `db maintain` leaves none; so many are several runs missed.
"""
STORED_BEHIND_MAX: Final = timedelta(hours=6)
MAINTAIN: Final = "`rackmeter db maintain` now, and start its timer (docs/deploy.md)"


def store(conn: Connection, tolerance: timedelta) -> Iterator[Finding]:
    """On a connection to tables of this version; ``tolerance`` is of clocks."""
    found = backend(conn)
    yield about_backend(found)
    yield from looked("roles", lambda: about_roles(conn))
    now = datetime.now(UTC)
    yield from looked("maintenance", lambda: about_maintenance(conn, found, now))
    yield about_clock(clock_ahead(conn, datetime.now(UTC)), tolerance)


def about_backend(found: Backend) -> Finding:
    """Plain PostgreSQL is well; a TimescaleDB with known wrong results is not."""
    said = found.sentence()
    if found.outdated:
        return Finding(
            "store", said, ConfigError.exit_code,
            why="sums may be wrong, and so may invoices",
            todo="install the newer package, then ALTER EXTENSION timescaledb UPDATE",
        )  # fmt: skip
    return Finding("store", said)


def about_roles(conn: Connection) -> Iterator[Finding]:
    """The roles are there with exactly their rights."""
    if absent := missing_roles(conn):
        yield Finding(
            "roles", f"{', '.join(absent)} do not exist", warning=True,
            why="every process has to run as the tables' owner",
            todo="an administrator runs what `rackmeter db roles --sql` prints, then `db migrate`",
        )  # fmt: skip
        return
    try:
        lacking, extra = differences(conn)
    except RefusedError as error:
        yield Finding("roles", f"not compared: {error}")
        return
    if lacking or extra:
        yield Finding(
            "roles", f"{len(lacking)} grants are missing and {len(extra)} too many",
            DifferenceError.exit_code,
            why="a process is refused what it needs, or may do what it should not",
            todo="`rackmeter db roles` lists them, `rackmeter db migrate` mends them",
        )  # fmt: skip
        return
    yield Finding("roles", "as they must be")


def about_maintenance(conn: Connection, found: Backend, now: datetime) -> Iterator[Finding]:
    """Partitions are there ahead of time, hours are stored, nothing waits for long."""
    mark = marks(conn)
    soon = now + timedelta(days=PARTITION_DAYS_AHEAD)
    months = [] if found.timescale else [m for m in missing(conn, now, mark.dropped) if m <= soon]
    if months:
        named = ", ".join(f"{month:%Y-%m}" for month in months)
        yield Finding(
            "maintenance", f"partitions of {named} are not made", warning=True,
            why="their windows go to the default partition, which grows slow",
            todo=MAINTAIN,
        )  # fmt: skip
    stale = stale_hours(conn)
    behind = now - mark.stored if mark.stored else None
    if stale > STALE_HOURS_MAX or (behind is not None and behind > STORED_BEHIND_MAX):
        since = f"{mark.stored:%Y-%m-%d %H:%M} UTC" if mark.stored else "never"
        yield Finding(
            "maintenance", f"hours are stored up to {since}, {stale} wait to be stored anew",
            warning=True, why="dashboards work out the rest each time: right, but slow",
            todo=MAINTAIN,
        )  # fmt: skip
    elif not months:
        yield Finding("maintenance", f"nothing is overdue; {stale} hours wait")


def about_clock(ahead: timedelta, tolerance: timedelta) -> Finding:
    """Keys, periods and raters go by these clocks."""
    seconds = ahead.total_seconds()
    if abs(ahead) > tolerance:
        word = "ahead of" if seconds > 0 else "behind"
        return Finding(
            "clock", f"the database is {abs(seconds):.1f} s {word} this machine",
            DependencyError.exit_code,
            why="keys and periods begin and end at another time here than there",
            todo="start NTP on both: `timedatectl set-ntp true`",
        )  # fmt: skip
    return Finding("clock", f"the database's is {seconds:+.2f} s from this machine's")
