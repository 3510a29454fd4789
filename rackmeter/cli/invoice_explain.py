"""`rackmeter invoice explain`: what a line, or a whole invoice, was made of."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rackmeter.cli.options import DataDir, Json, example
from rackmeter.cli.output import document, lines, note
from rackmeter.errors import DifferenceError

if TYPE_CHECKING:
    from invoicing.explaining.tree import Explanation


def add(invoice: typer.Typer) -> None:
    """Put the verb below the noun."""
    invoice.command(
        "explain",
        epilog=example(
            "invoice explain RM-DE-2026-000001",
            "invoice explain RM-DE-2026-000001/3 --html line.html",
            "invoice explain web-1/web-1/traffic/2026-10-01T00:00:00Z/0 --json",
            "invoice explain 3 --file RM-DE-2026-000001.pdf",
        ),
    )(explain)


def explain(
    line: Annotated[
        str, typer.Argument(metavar="LINE", help="NUMBER, NUMBER/POSITION, or a line's key.")
    ],
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it as a page with charts.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="From this invoice (JSON, PDF, bundle), no database."),
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show what a line, or a whole invoice, was made of, computed again.

    Readings, windows, quantity, price and rounding, down to positions in Kafka. Exit code 3 when a
    figure differs. With --file LINE is a position, or 0 for the whole invoice.
    """
    from invoicing.explain import write  # noqa: PLC0415 - starts slowly

    found = _of_file(file, line) if file else _of_ledger(data_dir, line)
    if html:
        note(f"written: {write(found, html)}")
    if json:
        document(found.to_json())
    elif not html:
        lines(found.to_text().splitlines())
    if found.differences:
        raise DifferenceError(f"{line}: {'; '.join(found.differences)}.")


def _of_ledger(data_dir: Path | None, line: str) -> "Explanation":
    from invoicing.explain import explain as why  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415

    with ledger(data_dir) as conn:
        return why(conn, line)


def _of_file(file: Path, line: str) -> "Explanation":
    from invoicing.explain import explain_file  # noqa: PLC0415 - starts slowly

    return explain_file(file, line)
