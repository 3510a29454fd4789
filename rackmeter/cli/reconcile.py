"""`rackmeter reconcile`: the nightly checks of everything that no invoice asks about."""

import secrets
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from rackmeter.cli.options import DataDir, Json, example
from rackmeter.cli.output import document, lines, note, table
from rackmeter.errors import ConfigError, DifferenceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invoicing.nightly.base import Night
    from invoicing.nightly.checks import Check
    from rackmeter.settings import Settings
    from sinks.database import Connection

SEEDS: Final = 10**6
HELP = """\
Compare each figure with the same figure got in another way; exit code 3 when two differ.

\b
servers       servers that report are rented; a cancelled one that still runs is named
items         rented items have a server
provisioning  the provider's inventory (CSV: server,state,item) = assignments
sources       what a server counts = what its switch counts, within a tolerance
conservation  windows sum to the last readings
accruals      what open periods have come to = what the ledger holds
law           invoices of the last 40 days, priced again from their own inputs
books         postings sum to zero; every invoice is booked with what it comes to
archive       files with reports of the day are as they were written
recompute     a day of some servers, metered again from the archive by another way
"""


def add(app: typer.Typer) -> None:
    """Put the verb into the tree."""
    app.command(
        "reconcile",
        help=HELP,
        epilog=example(
            "reconcile   # yesterday, by a timer",
            "reconcile --date 2026-11-20 --check recompute --servers 200 --seed 417",
            "reconcile --check provisioning --inventory servers.csv --json",
        ),
    )(reconcile)


def reconcile(
    *,
    day: Annotated[
        str | None, typer.Option("--date", metavar="DAY", help="UTC; yesterday if not given.")
    ] = None,
    check: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this; repeat it for more.")
    ] = None,
    servers: Annotated[
        int, typer.Option(min=1, metavar="N", help="Servers that are metered again.")
    ] = 20,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", help="Of what is drawn; printed, to look at the same again."),
    ] = None,
    inventory: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="The provider's inventory (RACKMETER_INVENTORY_FILE)."),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, metavar="N", help="Show N differences of a check at most.")
    ] = 20,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Run the nightly checks (the text of the page is HELP)."""
    from invoicing.nightly.checks import CHECKS, nightly  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415
    from rackmeter.settings import load_settings  # noqa: PLC0415

    settings = load_settings(data_dir=data_dir, inventory_file=inventory)
    if unknown := [name for name in check or () if name not in CHECKS]:
        raise ConfigError(f"--check is {unknown[0]}; there are {', '.join(CHECKS)}.")
    with ledger(data_dir) as conn:
        conn.autocommit = True
        night = _night(settings, conn, day, servers, seed)
        found = []
        for one in nightly(night, check or ()):
            found.append(one)
            note(f"{one.name}: {one.compared:,} compared, {len(one.differences)} differ")
    if not check and day is None:
        _tell(settings, found)
    if json:
        document({"date": night.day.isoformat(), "seed": night.seed, "checks": found})
    else:
        _show(night, found, limit)
    if any(one.differences for one in found):
        raise typer.Exit(DifferenceError.exit_code)


def _night(
    settings: "Settings", conn: "Connection", day: str | None, servers: int, seed: int | None
) -> "Night":
    from invoicing.nightly.base import Night  # noqa: PLC0415 - starts slowly
    from rackmeter.nightly_files import read_inventory, read_pairs, read_ports  # noqa: PLC0415

    inventory, ports = settings.inventory_file, settings.ports_file
    return Night(
        conn,
        _day(day),
        settings.archive,
        seed=secrets.randbelow(SEEDS) if seed is None else seed,
        sample=servers,
        tolerance_ms=settings.clock_tolerance_ms,
        inventory=read_inventory(inventory) if inventory else None,
        ports=read_ports(ports) if ports else (),
        pairs=read_pairs(settings.cross_checks),
    )


def _day(text: str | None) -> date:
    today = datetime.now(UTC).date()
    if text is None:
        return today - timedelta(days=1)
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--date is {text}; write 2026-11-20.") from None
    if found >= today:
        raise ConfigError(f"--date is {text}, which is not over yet.")
    return found


def _show(night: "Night", found: "Sequence[Check]", limit: int) -> None:
    table(
        ("check", "compared", "differ", "seconds", ""),
        [
            (one.name, one.compared, len(one.differences), one.seconds, _first(one.notes))
            for one in found
        ],
    )
    for one in found:
        lines(f"{one.name}: {difference}" for difference in one.differences[:limit])
        if len(one.differences) > limit:
            lines([f"{one.name}: and {len(one.differences) - limit} more"])
    note(f"{night.day}, --seed {night.seed}")


def _first(notes: "Sequence[str]") -> str:
    more = f" (and {len(notes) - 1} more)" if len(notes) > 1 else ""
    return notes[0] + more if notes else ""


def _tell(settings: "Settings", found: "Sequence[Check]") -> None:
    from rackmeter.textfile import write_textfile  # noqa: PLC0415 - starts slowly
    from schemas import metrics  # noqa: PLC0415

    values: list[Any] = [(metrics.RECONCILE_RUN, (), time.time())]
    for one in found:
        values += [
            (metrics.RECONCILE_COMPARED, (one.name,), one.compared),
            (metrics.RECONCILE_DIFFERENCES, (one.name,), len(one.differences)),
            (metrics.RECONCILE_SECONDS, (one.name,), one.seconds),
        ]
    write_textfile(settings.metrics_dir, "reconcile", values)
