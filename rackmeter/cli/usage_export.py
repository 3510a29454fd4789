"""`rackmeter usage export`: what the ledger holds, as the offline meter writes it."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from rackmeter.cli.options import DataDir, example
from rackmeter.cli.output import note


def add(usage: typer.Typer) -> None:
    """Put the verb below the noun."""
    usage.command(
        "export",
        epilog=example(
            "usage export --out ledger.csv",
            "usage export --server ax-017 | diff offline.csv -",
        ),
    )(export)


def export(
    out: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Write there instead of stdout.")
    ] = None,
    server: Annotated[
        list[str] | None, typer.Option(metavar="SERVER", help="Only this; repeat it for more.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Write every window of the ledger as CSV.

    Open windows are included, late entries are rows of their own, zero quantities are left out:
    `usage meter --ledger` writes the same bytes for the same reports.
    """
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from rackmeter.files import replacing  # noqa: PLC0415
    from rackmeter.usage_csv import HEAD, line  # noqa: PLC0415
    from sinks.usage import usage_rows  # noqa: PLC0415

    count = 0
    stdout = nullcontext(sys.stdout.buffer)
    with ledger(data_dir) as conn, replacing(out) if out else stdout as file:
        file.write(HEAD.encode())
        for row in usage_rows(conn, server):
            file.write(line(*row).encode())
            count += 1
    note(f"{count:,} rows")
