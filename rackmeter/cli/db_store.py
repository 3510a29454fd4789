"""`rackmeter db maintain` and `db convert`: what a timer does, and the way to TimescaleDB."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import typer

from rackmeter.cli.options import DataDir, DryRun, Json, Yes, confirm, example
from rackmeter.cli.output import document, lines, note
from rackmeter.errors import RefusedError

if TYPE_CHECKING:
    from sinks.store.maintain import Report


def add(db: typer.Typer) -> None:
    """Put the verbs below the noun."""
    db.command("maintain", epilog=example("db maintain", "db maintain --dry-run --json"))(maintain)
    db.command("convert", epilog=example("db convert --yes"))(convert)


def maintain(dry_run: DryRun = False, data_dir: DataDir = None, json: Json = False) -> None:
    """Make partitions ahead, store hours and days, compress, drop what the settings let go.

    For a timer, every quarter of an hour; repeating it changes nothing. Windows that are older than
    RACKMETER_KEEP_WINDOWS_DAYS but still needed are kept: exit code 5 says so, after all else.
    """
    from rackmeter.cli.ledger import database  # noqa: PLC0415 - starts slowly
    from rackmeter.settings import load_settings  # noqa: PLC0415
    from sinks.database import connect, require_schema  # noqa: PLC0415
    from sinks.store.maintain import Policy  # noqa: PLC0415
    from sinks.store.maintain import maintain as run  # noqa: PLC0415

    settings = load_settings(data_dir=data_dir)
    keep = settings.keep_windows_days
    policy = Policy(
        None if keep is None else timedelta(days=keep),
        timedelta(days=settings.dispute_days),
        timedelta(days=settings.columnstore_after_days),
    )
    with (
        database(settings) as url,
        connect(
            url, autocommit=True, application_name="rackmeter db maintain", statement_timeout_ms=0
        ) as conn,
    ):
        require_schema(conn)
        report = run(conn, datetime.now(UTC), policy, dry_run=dry_run)
    if json:
        document(asdict(report))
    else:
        lines(_told(report))
    if report.refused:
        note(report.refused)
        raise typer.Exit(RefusedError.exit_code)


def _told(report: "Report") -> list[str]:
    would = "would be " if report.dry_run else ""
    told = [report.found]
    told += [f"partition {would}made: {name}" for name in report.made]
    if report.stored_before:
        told.append(
            f"hours {would}stored before {report.stored_before:%Y-%m-%d %H:%M} UTC:"
            f" {report.hours} new, {report.stale_hours} of a server anew"
        )
    told += [f"chunk {would}compressed: {name}" for name in report.compressed]
    if report.dropped_before:
        told.append(
            f"windows {would}dropped before {report.dropped_before:%Y-%m-%d}:"
            f" {report.dropped_windows} now"
        )
    return told


def convert(yes: Yes = False, data_dir: DataDir = None, json: Json = False) -> None:
    """Move a plain ledger to TimescaleDB, in its place. Stop the workers first.

    Every row is copied and compared before anything is replaced; when interrupted, run it again.
    Needs room for the windows once more.
    """
    from rackmeter.cli.ledger import database  # noqa: PLC0415 - starts slowly
    from rackmeter.settings import load_settings  # noqa: PLC0415
    from sinks.database import connect, require_schema  # noqa: PLC0415
    from sinks.store.convert import convert as run  # noqa: PLC0415

    with (
        database(load_settings(data_dir=data_dir)) as url,
        connect(
            url, autocommit=True, application_name="rackmeter db convert", statement_timeout_ms=0
        ) as conn,
    ):
        require_schema(conn)
        confirm("The ledger moves to TimescaleDB; there is no way back. Go on?", yes=yes)
        done = run(conn, note)
    if json:
        document(done)
    else:
        lines([f"{done.windows} windows of {done.days} days are in a hypertable, none changed"])
        note("now run `rackmeter db maintain`: it stores hours and days anew")
