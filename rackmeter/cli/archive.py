"""`rackmeter archive`: raw reports in files, for as long as an invoice can be disputed."""

import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from rackmeter.cli.options import DataDir, Json, example, instant
from rackmeter.cli.output import document, lines, note, table
from rackmeter.cli.progress import Progress
from rackmeter.errors import ConfigError, DifferenceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rackmeter.settings import Settings
    from sinks.archive import Span

MIB: Final = 1024 * 1024
MONTH_DAYS: Final = 31
Since = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="TIME", help="Only files with reports appended from then on, in UTC."
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option("--dir", metavar="DIR", help="A copy; else the setting RACKMETER_ARCHIVE_DIR."),
]


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    archive = typer.Typer(
        help="Raw reports in files that outlive the topic: run, list, verify, capture.",
        no_args_is_help=True,
    )
    archive.command(
        "run",
        epilog=example("archive run --keep 130   # hourly, by a timer", "archive run --json"),
    )(run)
    archive.command("list", epilog=example("archive list", "archive list --json"))(show)
    archive.command(
        "verify",
        epilog=example("archive verify", "archive verify --from 2026-11-20 --dir /copy"),
    )(verify)
    archive.command(
        "capture",
        epilog=example(
            "archive capture --server ax-017 --from 2026-11-20 --out reports.ndjson.gz",
        ),
    )(capture)
    app.add_typer(archive, name="archive")


def run(
    keep: Annotated[
        int | None,
        typer.Option(metavar="DAYS", help="Then remove files that are older; never, if not given."),
    ] = None,
    accept_gap: Annotated[
        bool,
        typer.Option("--accept-gap", help="Write down that what the log no longer has is lost."),
    ] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Archive every message up to where the topic ends now, from where the archive ends.

    May be killed at any moment; the next run goes on, once and without a gap. Refused (5) when the
    topic no longer has what comes next.
    """
    from rackmeter.archive import archive_topic, remove_older  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.ledger import database  # noqa: PLC0415
    from rackmeter.kafka import cluster  # noqa: PLC0415
    from rackmeter.stack_folder import running  # noqa: PLC0415
    from sinks import archive  # noqa: PLC0415
    from sinks.database import connect, require_schema  # noqa: PLC0415

    settings, began = _settings(data_dir), time.monotonic()
    _check_keep(settings, keep)
    stack = running(settings.data_dir)
    where = cluster(settings, stack.bootstrap if stack else None)
    progress = Progress("read")
    with database(settings) as url, closing(connect(url, autocommit=True)) as conn:
        require_schema(conn)
        made = list(
            archive_topic(
                conn, where, settings.topic_reports, settings.archive,
                accept_new=settings.accept_new_topic, accept_gap=accept_gap, progress=progress,
            )
        )  # fmt: skip
        before = datetime.now(UTC) - timedelta(days=keep or 0)
        removed = remove_older(conn, settings.archive, before) if keep else 0
        kept = sum(span.bytes for span in archive.spans(conn) if span.kept)
    _tell(settings, kept)
    records, size = sum(span.records for span in made), sum(span.bytes for span in made)
    seconds = round(time.monotonic() - began, 1)
    if json:
        document(
            {"records": records, "files": len(made), "bytes": size, "removed": removed,
             "kept_bytes": kept, "seconds": seconds, "spans": made}
        )  # fmt: skip
        return
    note(f"{records:,} messages in {len(made)} files, {_mib(size)}, {seconds} s")
    for span in made:
        if span.file is None:
            note(f"lost: {span.place}")
    if removed:
        note(f"removed {removed} files older than {keep} days")


def show(since: Since = None, data_dir: DataDir = None, json: Json = False) -> None:
    """Show what is archived, by day of archiving and partition; lost and removed stretches too."""
    found = _spans(data_dir, since)
    if json:
        document({"spans": found})
        return
    rows: dict[tuple[str, int, str], list[Span]] = {}
    for span in found:
        rows.setdefault((f"{span.archived_at:%Y-%m-%d}", span.part, _state(span)), []).append(span)
    table(
        ("archived", "partition", "", "files", "messages", "MiB", "first", "next"),
        [(*key, *_summed(some)) for key, some in sorted(rows.items())],
    )
    if not found:
        note("nothing is archived: `rackmeter archive run`")


def _summed(some: "Sequence[Span]") -> tuple[object, ...]:
    """Files, messages, size, first offset and the one after the last."""
    size = sum(one.bytes for one in some) / MIB
    messages = sum(one.records for one in some)
    return len(some), messages, f"{size:,.1f}", some[0].first_offset, some[-1].next_offset


def verify(
    since: Since = None, folder: Folder = None, data_dir: DataDir = None, json: Json = False
) -> None:
    """Digest every file and count its messages; name those that are gone or altered (3)."""
    from sinks import archive_file  # noqa: PLC0415 - starts slowly

    root = folder or _settings(data_dir).archive
    kept = [span for span in _spans(data_dir, since) if span.kept]
    wrong = [(span, said) for span in kept if (said := archive_file.problem(root, span))]
    if json:
        problems = [
            {"file": span.file, "place": span.place, "problem": said} for span, said in wrong
        ]
        document({"files": len(kept), "problems": problems})
    else:
        lines(f"{span.file} ({span.place}): {said}" for span, said in wrong)
        note(f"{len(kept) - len(wrong)} of {len(kept)} files are as they were written")
    if wrong:
        raise typer.Exit(DifferenceError.exit_code)


def capture(
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="Write there; compressed when it ends in .gz.")
    ],
    server: Annotated[
        list[str] | None, typer.Option(metavar="SERVER", help="Only of this; repeat it for more.")
    ] = None,
    since: Since = None,
    folder: Folder = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Write archived messages as `usage capture` does, for `usage meter` and `usage replay`."""
    from rackmeter.capture import write_capture  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415
    from sinks.archive import spans, topic_partitions  # noqa: PLC0415
    from sinks.archive_file import captured  # noqa: PLC0415

    root, since_ms = folder or _settings(data_dir).archive, _ms(since)
    with ledger(data_dir) as conn:
        kept = [span for span in spans(conn, since_ms=since_ms) if span.kept]
        partitions = topic_partitions(conn)
    messages = captured(root, kept, partitions, frozenset(server or ()), since_ms)
    count = write_capture(out, Progress("written").each(messages))
    if json:
        document({"file": str(out), "messages": count})
    else:
        note(f"{count:,} messages in {out}")


def _settings(data_dir: Path | None) -> "Settings":
    from rackmeter.settings import load_settings  # noqa: PLC0415 - starts slowly

    return load_settings(data_dir=data_dir)


def _check_keep(settings: "Settings", keep: int | None) -> None:
    """A month's first report is disputed with the invoice of that month."""
    least = MONTH_DAYS + settings.dispute_days
    if keep is not None and keep < least:
        raise ConfigError(
            f"--keep is {keep}; the reports of an invoice are wanted for {least} days: a month and"
            f" RACKMETER_DISPUTE_DAYS ({settings.dispute_days})."
        )


def _spans(data_dir: Path | None, since: str | None) -> "Sequence[Span]":
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.archive import spans  # noqa: PLC0415

    with ledger(data_dir) as conn:
        return spans(conn, since_ms=_ms(since))


def _ms(since: str | None) -> int:
    return int(instant(since).timestamp() * 1000) if since else 0


def _state(span: "Span") -> str:
    if span.file is None:
        return "lost"
    return "removed" if span.dropped_at else ""


def _tell(settings: "Settings", kept: int) -> None:
    from rackmeter.textfile import Value, write_textfile  # noqa: PLC0415 - starts slowly
    from schemas.metrics import ARCHIVE_SIZE, ARCHIVE_SUCCESS  # noqa: PLC0415

    values: list[Value] = [(ARCHIVE_SUCCESS, (), time.time()), (ARCHIVE_SIZE, (), float(kept))]
    write_textfile(settings.metrics_dir, "archive", values)


def _mib(count: int) -> str:
    return f"{count / MIB:,.1f} MiB"
