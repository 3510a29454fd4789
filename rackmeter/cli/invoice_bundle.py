"""`rackmeter invoice bundle`: an invoice with everything behind it, for the customer."""

from pathlib import Path
from typing import Annotated

import typer

from rackmeter.cli.options import DataDir, Json, example
from rackmeter.cli.output import document, lines
from rackmeter.errors import RefusedError


def add(invoice: typer.Typer) -> None:
    """Put the verb below the noun."""
    invoice.command(
        "bundle",
        epilog=example(
            "invoice bundle RM-DE-2026-000001 --to RM-DE-2026-000001.zip",
            "invoice verify RM-DE-2026-000001.zip",
        ),
    )(bundle)


def bundle(
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="Such as RM-DE-2026-000001.")],
    to: Annotated[Path, typer.Option(metavar="FILE", help="Where to write, such as NUMBER.zip.")],
    language: Annotated[
        str | None, typer.Option(help="en or de; without it the account's.")
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Write an invoice with the readings and windows behind it, as one ZIP that verifies itself.

    Whoever has it needs nothing of ours: `invoice verify FILE.zip`. The bytes are the same every
    time, as long as the audit trail is not signed anew.
    """
    from invoicing.bundles.make import bundle as make  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415

    with ledger(data_dir) as conn:
        row = conn.execute(
            "SELECT i.invoice_id::text, a.language FROM invoice i JOIN account a USING (account_id)"
            " WHERE i.number = %s",
            (number,),
        ).fetchone()
        if row is None:
            raise RefusedError(f"There is no invoice {number}: see `rackmeter invoice list`.")
        file = make(conn, row[0], to, language or row[1])
    if json:
        document({"number": number, "file": str(file)})
    else:
        lines([str(file)])
