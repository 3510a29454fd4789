"""What a timer does to the store: room ahead, hours and days, compression, retention."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sinks.database import Connection
from sinks.store import chunks, partitions, retention
from sinks.store.backend import backend
from sinks.store.marks import alone, marks
from sinks.store.refresh import due, refresh, stale_hours


@dataclass(frozen=True, slots=True)
class Policy:
    """``keep_windows`` None: for ever. ``dispute``: how long after its end a sealed period needs
    its windows. ``columnstore_after``: how long after its end a chunk is compressed.
    """

    keep_windows: timedelta | None
    dispute: timedelta
    columnstore_after: timedelta


@dataclass(slots=True)
class Report:
    """What was done, or would be with ``dry_run``."""

    backend: str
    found: str
    dry_run: bool
    made: list[str] = field(default_factory=list)
    """Partitions of plain PostgreSQL."""
    stored_before: datetime | None = None
    """Hours before it are stored."""
    hours: int = 0
    stale_hours: int = 0
    compressed: list[str] = field(default_factory=list)
    """Chunks of TimescaleDB."""
    dropped_before: datetime | None = None
    dropped_windows: int = 0
    refused: str | None = None
    """Why windows that are older than the settings keep them are still there."""


def maintain(conn: Connection, now: datetime, policy: Policy, *, dry_run: bool = False) -> Report:
    """On an autocommit connection; repeating it finds nothing to do. Each step commits."""
    with alone(conn):
        found = backend(conn)
        report = Report(found.name or "", found.sentence(), dry_run)
        if not found.timescale:
            _make_room(conn, now, report)
        _refresh(conn, now, report)
        if found.timescale:
            _compress(conn, now - policy.columnstore_after, report)
        if policy.keep_windows is not None:
            _drop(conn, now, policy.keep_windows, policy.dispute, report)
        report.dropped_before = report.dropped_before or marks(conn).dropped
    return report


def _make_room(conn: Connection, now: datetime, report: Report) -> None:
    months = partitions.missing(conn, now, marks(conn).dropped)
    report.made = [partitions.name_of(month) for month in months]
    if not report.dry_run:
        partitions.make(conn, months)


def _refresh(conn: Connection, now: datetime, report: Report) -> None:
    if report.dry_run:
        report.stored_before, report.stale_hours = max(due(now), marks(conn).stored or due(now)), 0
        report.stale_hours = stale_hours(conn)
        return
    done = refresh(conn, now)
    report.stored_before, report.hours, report.stale_hours = (
        done.stored, done.hours, done.stale_hours,
    )  # fmt: skip


def _compress(conn: Connection, before: datetime, report: Report) -> None:
    found = chunks.to_compress(chunks.chunks(conn), before)
    report.compressed = [chunk.name for chunk in found]
    if not report.dry_run:
        chunks.compress(conn, found)


def _drop(
    conn: Connection, now: datetime, keep: timedelta, dispute: timedelta, report: Report
) -> None:
    verdict = retention.judge(conn, now, keep, dispute, report.stored_before)
    if verdict.reason is not None:
        report.refused = (
            f"Windows before {verdict.wanted:%Y-%m-%d} are older than the settings keep them, but"
            f" {verdict.reason}."
        )
    if verdict.until is None:
        return
    report.dropped_before = verdict.until
    if not report.dry_run:
        report.dropped_windows = retention.drop(conn, verdict.until)
