"""`rackmeter ledger`: prove that the ledger is what the log says, and mend what is not."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rackmeter.cli.acts import myself
from rackmeter.cli.ledger_print import (
    beginning,
    difference,
    print_changes,
    print_quantities,
    print_sums,
    shown_build,
    shown_comparison,
    shown_snapshot,
    usable,
)
from rackmeter.cli.options import DataDir, DryRun, Json, Yes, confirm, example
from rackmeter.cli.output import document, note, table
from rackmeter.cli.progress import Progress
from rackmeter.errors import ConfigError, DifferenceError

if TYPE_CHECKING:
    from rackmeter.rebuild_steps import Place

LOG = "log"
Limit = Annotated[int, typer.Option(min=1, metavar="N", help="List N sums that differ at most.")]


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    ledger = typer.Typer(
        help="The ledger against the log: snapshot, status, rebuild, compare, swap.",
        no_args_is_help=True,
    )
    ledger.command("snapshot", epilog=example("ledger snapshot --keep 7   # daily, by a timer"))(
        snapshot
    )
    ledger.command("status", epilog=example("ledger status --json"))(status)
    ledger.command(
        "rebuild",
        epilog=example("ledger rebuild --from log", "ledger rebuild --from 12 --anew"),
    )(rebuild)
    ledger.command("compare", epilog=example("ledger compare", "ledger compare --json"))(compare)
    ledger.command(
        "swap",
        epilog=example(
            'ledger swap --why "windows of 3 March dropped by mistake" --dry-run',
            'ledger swap --why "windows of 3 March dropped by mistake" --yes',
        ),
    )(swap)
    ledger.command("discard", epilog=example("ledger discard"))(discard)
    app.add_typer(ledger, name="ledger")


def snapshot(
    keep: Annotated[int, typer.Option(min=1, metavar="N", help="Delete all but the newest N.")] = 7,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Keep all heads with their positions, as a beginning for a later rebuild.

    Workers go on. One a day is enough; it is of use as long as the topic keeps what came after it.
    """
    from rackmeter.rebuild_steps import take_snapshot  # noqa: PLC0415 - starts slowly

    with _place(data_dir) as at:
        made, gone = take_snapshot(at, keep)
    if json:
        document({"snapshot": shown_snapshot(made), "deleted": gone})
        return
    note(f"snapshot {made.snapshot_id}: {made.servers:,} servers")
    if gone:
        note(f"deleted {', '.join(map(str, gone))}")


def status(data_dir: DataDir = None, json: Json = False) -> None:
    """Show the snapshots and whether the log still has what came after them, and the rebuild."""
    from sinks import rebuild, snapshots  # noqa: PLC0415 - starts slowly

    with _place(data_dir) as at:
        starts, live = at.log_starts(), at.live()
        found = snapshots.snapshots(at.conn)
        build = rebuild.current(at.conn)
    rows = [{**shown_snapshot(each), "offsets_gone": each.missing(starts)} for each in found]
    log = {"log_starts": starts, "metered_to": live}
    if json:
        document({**log, "snapshots": rows, "rebuild": build and shown_build(build)})
        return
    table(
        ("snapshot", "taken (UTC)", "servers", "usable"),
        [
            (
                each.snapshot_id, f"{each.taken_at:%Y-%m-%d %H:%M}", each.servers,
                usable(each.missing(starts)),
            )
            for each in found
        ],
    )  # fmt: skip
    note("from the log's beginning: " + usable({p: at for p, at in starts.items() if at > 0}))
    if build is not None:
        left = sum(at - build.positions.get(part, 0) for part, at in live.items())
        note(f"a rebuild from {beginning(build)} is there, {left:,} offsets behind the workers")


def rebuild(
    start: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="log|SNAPSHOT", help="Begin with the log, or with a snapshot."
        ),
    ] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Throw away the rebuild there is.")] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Meter the log again into a second ledger, up to where the workers are now.

    Workers go on; nothing is sent to anybody. Interrupted, or repeated later, it goes on from where
    it was. Without --from the first time begins with the log.
    """
    from rackmeter.rebuild_steps import build  # noqa: PLC0415 - starts slowly

    with _place(data_dir) as at:
        made = build(at, start=_start(start), anew=anew, progress=Progress("rebuilt"))
    if json:
        document(shown_build(made))
    else:
        note(f"rebuilt from {beginning(made)}: compare it with `rackmeter ledger compare`")


def compare(limit: Limit = 50, data_dir: DataDir = None, json: Json = False) -> None:
    """Show what differs between the ledger and its rebuilt twin; exit code 3 if anything does.

    Both are compared at the position where the rebuild ended, whatever was metered since.
    """
    from rackmeter.rebuild_steps import compare as run  # noqa: PLC0415 - starts slowly

    with _place(data_dir) as at:
        found = run(at, limit)
    if json:
        document(shown_comparison(found))
        raise typer.Exit(0 if found.equal else DifferenceError.exit_code)
    print_changes(found.changes)
    print_sums(found.sums)
    print_quantities(found.quantities)
    compared = ", ".join(f"{count:,} {name}" for name, count in found.rows.items())
    note(f"compared {compared}, from {beginning(found.build)}")
    if not found.equal:
        raise DifferenceError(difference(found))
    note("the ledger is what the log says")


def swap(
    why: Annotated[str, typer.Option(metavar="TEXT", help="The reason, for the record.")],
    limit: Limit = 50,
    dry_run: DryRun = False,
    yes: Yes = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Put what was rebuilt into the place of what differs from it, in one transaction.

    Refused where an invoice that is sealed rests on it. Workers may go on: they wait for the
    moment, and claim their partitions anew where their memory changed.
    """
    from rackmeter.rebuild_steps import put_in_place  # noqa: PLC0415 - starts slowly
    from sinks.rebuild_swap import SealedError  # noqa: PLC0415

    if not why.strip():
        raise ConfigError("--why is empty: say in a few words why the ledger is changed.")
    if not dry_run:
        confirm("Change the ledger to what was rebuilt?", yes=yes)
    with _place(data_dir) as at:
        try:
            done = put_in_place(at, myself(), why, dry_run=dry_run, progress=Progress("rebuilt"))
        except SealedError as error:
            if not json:
                print_quantities(error.quantities[:limit])
            raise
    if json:
        document({"rows": done.changes, "quantities": done.quantities, "swap": done.swap_id})
        return
    print_changes(done.changes)
    print_quantities(done.quantities[:limit])
    note("nothing differs" if not done.changes else "dry run" if dry_run else "swapped")


def discard(data_dir: DataDir = None) -> None:
    """Throw the rebuilt ledger away."""
    from rackmeter.rebuild_steps import discard as run  # noqa: PLC0415 - starts slowly

    with _place(data_dir) as at:
        note("discarded" if run(at) else "there was no rebuild")


@contextmanager
def _place(data_dir: Path | None) -> Iterator["Place"]:
    """The ledger in force and the broker that is set, else that of a running `rackmeter dev`."""
    from rackmeter.cli.ledger import database  # noqa: PLC0415 - starts slowly
    from rackmeter.kafka import cluster  # noqa: PLC0415
    from rackmeter.rebuild_steps import place  # noqa: PLC0415
    from rackmeter.settings import load_settings  # noqa: PLC0415
    from rackmeter.stack_folder import running  # noqa: PLC0415

    settings = load_settings(data_dir=data_dir)
    stack = running(settings.data_dir)
    kafka = cluster(settings, stack.bootstrap if stack else None)
    with database(settings) as url, place(settings, url, kafka) as at:
        yield at


def _start(text: str | None) -> int | None:
    if text is None or text == LOG:
        return None if text is None else 0
    if not text.isdecimal():
        raise ConfigError(f"--from is {text}; write log, or the number of a snapshot.")
    return int(text)
