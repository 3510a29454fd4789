"""A ledger that was brought back: restored, its numbers settled, its place in the log known.

Wires what sinks and invoicing know of it; the command line prints it.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from invoicing.number_log import NumberLog
from invoicing.outside import Settlement, number_log, settle_numbers
from rackmeter.errors import ConfigError, DifferenceError, RackmeterError, RefusedError
from rackmeter.kafka import cluster
from rackmeter.settings import Settings
from rackmeter.stack import Stack
from rackmeter.stack_folder import running
from rackmeter.stack_postgres import embedded_programs
from rackmeter.topics import describe_topics, log_starts
from sinks import restore as restoring
from sinks.audit import Act, record
from sinks.backup_manifest import Manifest, read_manifest
from sinks.database import Connection, connect, require_schema
from sinks.positions import check_log_start, check_topic, positions

Progress = Callable[[str, int], None]
SCRATCH: Final = {"fsync": "off", "full_page_writes": "off"}
"""Of a server that is thrown away."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a partition goes on. ``problem``: why a worker will refuse to; None when it will not,
    or no broker is set.
    """

    part: int
    next_offset: int
    log_start: int | None
    problem: str | None = None


def programs() -> list[Path]:
    """Where PostgreSQL's programs may lie beside the usual places."""
    try:
        return [embedded_programs()]
    except ConfigError:
        return []


def restore(
    settings: Settings, url: str, folder: Path, *, jobs: int, no_log: bool, progress: Progress
) -> tuple[Manifest, Settlement]:
    """Restores, then settles the numbers; what was missing of them. Without the number log only if
    ``no_log`` says that nothing was issued since.
    """
    _check_log(settings.numbers, read_manifest(folder), no_log=no_log)
    manifest = restoring.restore(url, folder, jobs=jobs, programs=programs(), progress=progress)
    with connect(url, autocommit=True, application_name="rackmeter restore") as conn:
        found = settle_numbers(conn, number_log(conn, settings.numbers), recovered=True)
        with conn.transaction():
            said = {"taken": manifest.taken_at, "lost": len(found.lost)}
            record(conn, Act("ledger.restore", f"backup/{folder.name}", after=said))
    return manifest, found


def recovered(url: str, numbers: Path) -> Settlement:
    """After a recovery by other means: numbers are settled, and the windows must be what the
    readings say. Raises DifferenceError where they are not.
    """
    with connect(url, autocommit=True, statement_timeout_ms=0) as conn:
        require_schema(conn)
        found = settle_numbers(conn, number_log(conn, numbers), recovered=True)
        with conn.transaction():
            record(conn, Act("ledger.recovered", "ledger/", after={"lost": len(found.lost)}))
        row = conn.execute("SELECT count(*) FROM conservation_violation").fetchone()
    if row is not None and row[0]:
        raise DifferenceError(
            f"Windows and readings differ in {row[0]:,} series (view conservation_violation):"
            " `rackmeter ledger rebuild` proves the ledger by the log."
        )
    return found


def places(settings: Settings, conn: Connection) -> list[Place]:
    """Where the ledger goes on in the topic of reports, and whether it can."""
    row = conn.execute(
        "SELECT topic_id FROM ingest_topic WHERE name = %s ORDER BY first_seen DESC LIMIT 1",
        (settings.topic_reports,),
    ).fetchone()
    if row is None:
        return []
    known = [(one.part, one.next_offset) for one in positions(conn, [row[0]])]
    try:
        starts = _starts(settings, conn)
    except RackmeterError as error:
        return [Place(part, offset, None, str(error)) for part, offset in known]
    return [_place(part, offset, starts) for part, offset in known]


def _place(part: int, offset: int, starts: dict[int, int] | None) -> Place:
    if starts is None:
        return Place(part, offset, None)
    try:
        check_log_start(part, offset, starts[part])
    except RefusedError as error:
        return Place(part, offset, starts[part], str(error))
    return Place(part, offset, starts[part])


def _starts(settings: Settings, conn: Connection) -> dict[int, int] | None:
    """Where the log begins, None where no broker is set. Raises what a worker would."""
    stack = running(settings.data_dir)
    bootstrap = stack.bootstrap if stack else None
    if settings.kafka_bootstrap is None and bootstrap is None:
        return None
    where = cluster(settings, bootstrap)
    topic = describe_topics(where, [settings.topic_reports])[settings.topic_reports]
    if topic.identity is not None:
        check_topic(conn, topic.identity, accept_new=settings.accept_new_topic)
    return log_starts(where, topic)


def _check_log(numbers: Path, manifest: Manifest, *, no_log: bool) -> None:
    """Before anything is restored: the log is there, and it is this ledger's."""
    if numbers.exists():
        NumberLog(numbers, UUID(manifest.ledger_id)).numbers()
    elif not no_log:
        raise RefusedError(
            f"There is no number log {numbers}: set RACKMETER_NUMBER_LOG to it, or say with"
            f" --no-number-log that no invoice was issued after {manifest.taken_at:%Y-%m-%d %H:%M}"
            " UTC; a number that was could be given out again."
        )


def rehearse(folder: Path, progress: Progress) -> tuple[Manifest, float | None]:
    """Checks the files and restores them into an embedded server that is thrown away; in how many
    seconds, None where there is no embedded server or no TimescaleDB in it.
    """
    manifest = restoring.check(folder, progress)
    if not programs() or restoring.TIMESCALE in manifest.extensions:
        return manifest, None
    with (
        tempfile.TemporaryDirectory(prefix="rackmeter-") as scratch,
        Stack.start(Path(scratch), broker=False, postgres_settings=SCRATCH) as stack,
    ):
        began = time.monotonic()
        restoring.restore(stack.database_url, folder, programs=programs(), progress=progress)
        return manifest, round(time.monotonic() - began, 1)
