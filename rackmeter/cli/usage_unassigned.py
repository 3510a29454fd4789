"""`rackmeter usage unassigned`: what was metered on servers that nobody rented."""

from collections import defaultdict
from typing import Annotated

import typer

from rackmeter.cli.options import DataDir, Json, example, instant
from rackmeter.cli.output import document, note, table


def add(usage: typer.Typer) -> None:
    """Put the verb below the noun."""
    usage.command(
        "unassigned",
        epilog=example(
            "usage unassigned --from 2026-10-01 --to 2026-11-01",
            "usage unassigned --server ax-017 --json",
        ),
    )(unassigned)


def unassigned(
    since: Annotated[
        str,
        typer.Option("--from", metavar="TIME", help="First instant; a day is its midnight UTC."),
    ] = "1970-01-01",
    until: Annotated[
        str, typer.Option("--to", metavar="TIME", help="First instant after.")
    ] = "now",
    server: Annotated[str | None, typer.Option(metavar="SERVER", help="Only of this one.")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show what servers used while no rented item had them: the house pays for it.

    With what all items used it is what was metered, to the unit; windows cut by a beginning or an
    end are shared by time.
    """
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from schemas.billing import Span  # noqa: PLC0415
    from schemas.meters import METERS  # noqa: PLC0415
    from sinks.house import unassigned as find  # noqa: PLC0415

    with ledger(data_dir) as conn:
        found = find(conn, Span(instant(since), instant(until)), server)
    totals: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    for part in found:
        totals[part.server, part.meter, part.resource] += part.quantity
    units = {name: known.unit for name, known in METERS.items()}
    if json:
        names = ("server", "meter", "resource", "quantity", "unit")
        rows = [(*key, total, units.get(key[1], "")) for key, total in totals.items()]
        document({"usage": [dict(zip(names, row, strict=True)) for row in rows]})
        return
    table(
        ("server", "meter", "resource", "quantity", "unit"),
        [(*key, total, units.get(key[1], "")) for key, total in totals.items()],
    )
    if not totals:
        note("everything that was metered in that time belongs to a rented item")
