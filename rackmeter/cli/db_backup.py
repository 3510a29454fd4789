"""`rackmeter db backup`, `verify`, `restore`, `recovered`: copies of a ledger and the way back."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rackmeter.cli.options import DataDir, Json, Yes, confirm, example
from rackmeter.cli.output import document, lines, note, table

if TYPE_CHECKING:
    from invoicing.outside import Settlement
    from rackmeter.recovery import Place
    from sinks.backup_manifest import Manifest

MIB = 1024 * 1024
EVERY_S = 2.0
Jobs = Annotated[int, typer.Option(min=1, max=64, metavar="N", help="Tables at a time.")]
Folder = Annotated[Path, typer.Argument(metavar="BACKUP", help="A folder that `backup` wrote.")]


def add(db: typer.Typer) -> None:
    """Put the verbs below the noun."""
    db.command(
        "backup",
        epilog=example(
            "db backup --to /backup/rackmeter --keep 14   # daily, by a timer",
            "db backup --to /backup/rackmeter --json",
        ),
    )(backup)
    db.command(
        "verify", epilog=example("db verify /backup/rackmeter/rackmeter-20261121T184500.000Z")
    )(verify)
    db.command(
        "restore",
        epilog=example("db restore /backup/rackmeter/rackmeter-20261121T184500.000Z"),
    )(restore)
    db.command("recovered", epilog=example("db recovered   # after a point in time recovery"))(
        recovered
    )


def backup(
    to: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the backups.")],
    keep: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Then remove all but the newest N.")
    ] = None,
    jobs: Jobs = 2,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Write the whole ledger of one moment into a new folder, with a manifest and digests.

    Workers go on. Run it as the owner of the tables. The folder holds customers' data in the clear
    and secrets encrypted. The master key, the number log and the server's logins are not in it:
    keep copies of the first two elsewhere.
    """
    from rackmeter import installed_version  # noqa: PLC0415
    from rackmeter.cli.ledger import database  # noqa: PLC0415 - starts slowly
    from rackmeter.recovery import programs  # noqa: PLC0415
    from rackmeter.settings import load_settings  # noqa: PLC0415
    from sinks.backup import take_backup  # noqa: PLC0415

    settings, began = load_settings(data_dir=data_dir), time.monotonic()
    with database(settings) as url:
        made, gone = take_backup(
            url,
            to.absolute(),
            version=installed_version(),
            jobs=jobs,
            keep=keep,
            programs=programs(),
            progress=_Said(),
        )
    seconds = round(time.monotonic() - began, 1)
    _tell(settings.metrics_dir, made.manifest, seconds)
    if json:
        removed = [str(folder) for folder in gone]
        document(
            {
                "backup": str(made.folder),
                "seconds": seconds,
                "removed": removed,
                **_shown(made.manifest),
            }
        )
        return
    lines([str(made.folder)])
    note(f"{_mib(made.manifest.size)} in {seconds} s, {_rows(made.manifest):,} rows")
    if gone:
        note(f"removed {len(gone)} older")


def verify(backup: Folder, data_dir: DataDir = None, json: Json = False) -> None:
    """Digest every file of a backup, and restore it into a server of its own to compare all tables.

    The server is the embedded one, in a folder that is removed afterwards; where that is not
    installed only the files are checked.
    """
    from rackmeter.recovery import rehearse  # noqa: PLC0415 - starts slowly

    manifest, seconds = rehearse(backup, _Said())
    if json:
        document({"backup": str(backup), "restored_in_s": seconds, **_shown(manifest)})
        return
    tried = f", restored in {seconds} s: every row is there" if seconds is not None else ""
    lines([f"{backup} is whole{tried}"])


def restore(
    backup: Folder,
    jobs: Jobs = 2,
    no_number_log: Annotated[
        bool, typer.Option("--no-number-log", help="Nothing was issued after the backup.")
    ] = False,
    yes: Yes = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Restore a backup into an empty database, compare every table, and settle invoice numbers.

    Numbers that were issued after the backup are known by the number log and never given out
    again. Workers go on from the ledger's own positions: start them afterwards.
    """
    from rackmeter.cli.ledger import database  # noqa: PLC0415 - starts slowly
    from rackmeter.recovery import places  # noqa: PLC0415
    from rackmeter.recovery import restore as run  # noqa: PLC0415
    from rackmeter.settings import load_settings  # noqa: PLC0415
    from sinks.database import connect  # noqa: PLC0415

    settings = load_settings(data_dir=data_dir)
    confirm(f"Restore {backup}? What was metered after it is metered again.", yes=yes)
    with database(settings, create=True) as url:
        manifest, found = run(
            settings, url, backup, jobs=jobs, no_log=no_number_log, progress=_Said()
        )
        with connect(url) as conn:
            where = places(settings, conn)
    if json:
        document({**_shown(manifest), **_numbers(found), "positions": [asdict(p) for p in where]})
        return
    note(f"restored {_rows(manifest):,} rows as of {manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC")
    _next(found, where)


def recovered(data_dir: DataDir = None, json: Json = False) -> None:
    """After the database was brought back by other means: point in time, a standby, a disk's image.

    Settles invoice numbers with the number log, sees that windows are what the readings say, and
    where the workers will go on. Run it before the workers and the next close. Exit code 3 when the
    ledger contradicts itself.
    """
    from rackmeter.cli.ledger import database  # noqa: PLC0415 - starts slowly
    from rackmeter.recovery import places  # noqa: PLC0415
    from rackmeter.recovery import recovered as run  # noqa: PLC0415
    from rackmeter.settings import load_settings  # noqa: PLC0415
    from sinks.database import connect  # noqa: PLC0415

    settings = load_settings(data_dir=data_dir)
    with database(settings) as url:
        found = run(url, settings.numbers)
        with connect(url) as conn:
            where = places(settings, conn)
    if json:
        document({**_numbers(found), "positions": [asdict(place) for place in where]})
        return
    _next(found, where)


class _Said:
    """Says on stderr how far it is, now and then."""

    def __init__(self) -> None:
        self._at = time.monotonic()

    def __call__(self, what: str, count: int) -> None:
        if time.monotonic() - self._at >= EVERY_S:
            self._at = time.monotonic()
            note(f"{what} {_mib(count)}" if count else what)


def _next(found: "Settlement", where: list["Place"]) -> None:
    """What a person does now."""
    if where:
        table(
            ("partition", "goes on at", "log begins at", ""),
            [
                (p.part, p.next_offset, "?" if p.log_start is None else p.log_start,
                 p.problem or "")
                for p in where
            ],
        )  # fmt: skip
    for entry in found.lost:
        note(f"{entry.number} ({entry.account}) is not in this database: enter it again")
    for entry in found.doubtful:
        note(f"{entry.number} ({entry.account}) was perhaps never issued: kept for that invoice")
    if found.lost:
        note("1. rackmeter invoice reenter FILE…   # its PDF or JSON; see `invoice outside`")
    if any(place.problem for place in where):
        note("the workers will refuse to start: docs/recover.md, “Sentences that want a person”")
    else:
        note(f"{2 if found.lost else 1}. start the workers: they meter again what came since")


def _numbers(found: "Settlement") -> dict[str, Any]:
    return {
        "numbers_missing": [entry.number for entry in found.lost],
        "numbers_kept": [entry.number for entry in found.doubtful],
    }


def _tell(folder: Path | None, manifest: "Manifest", seconds: float) -> None:
    from rackmeter.textfile import write_textfile  # noqa: PLC0415 - starts slowly
    from schemas.metrics import BACKUP_SECONDS, BACKUP_SIZE, BACKUP_SUCCESS  # noqa: PLC0415

    write_textfile(
        folder,
        "rackmeter_backup",
        [
            (BACKUP_SUCCESS, (), manifest.taken_at.timestamp()),
            (BACKUP_SECONDS, (), seconds),
            (BACKUP_SIZE, (), float(manifest.size)),
        ],
    )


def _shown(manifest: "Manifest") -> dict[str, Any]:
    from schemas.serial import to_json  # noqa: PLC0415 - starts slowly

    body: dict[str, Any] = to_json(manifest)
    body.pop("files")
    return {"bytes": manifest.size, "manifest": body}


def _rows(manifest: "Manifest") -> int:
    return sum(one.rows for one in manifest.tables)


def _mib(count: int) -> str:
    return f"{count / MIB:,.1f} MiB"
