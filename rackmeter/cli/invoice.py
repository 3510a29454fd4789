"""`rackmeter invoice`: what was billed. Closing and previewing are in invoice_close."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rackmeter.cli import (
    invoice_bundle,
    invoice_close,
    invoice_explain,
    invoice_outside,
    invoice_rerate,
)
from rackmeter.cli.options import DataDir, Json, example
from rackmeter.cli.output import document, lines, note, table
from rackmeter.errors import DifferenceError, RefusedError

if TYPE_CHECKING:
    from sinks.database import Connection

Number = Annotated[str, typer.Argument(metavar="NUMBER", help="Such as RM-DE-2026-000001.")]


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    invoice = typer.Typer(
        help="Invoices: close, preview, rerate, list, show, explain, bundle, verify, export,"
        " outside, reenter.",
        no_args_is_help=True,
    )
    invoice_close.add(invoice)
    invoice.command("list", epilog=example("invoice list --account aurora"))(list_invoices)
    invoice.command("show", epilog=example("invoice show RM-DE-2026-000001"))(show)
    invoice_explain.add(invoice)
    invoice_bundle.add(invoice)
    invoice.command(
        "verify",
        epilog=example(
            "invoice verify RM-DE-2026-000001.zip", "invoice verify invoices/*.json --json"
        ),
    )(verify)
    invoice.command("export", epilog=example("invoice export RM-DE-2026-000001 --to ."))(export)
    invoice_rerate.add(invoice)
    invoice_outside.add(invoice)
    app.add_typer(invoice, name="invoice")


def list_invoices(
    account: Annotated[
        str | None, typer.Option(metavar="ACCOUNT", help="Only its invoices.")
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """List invoices, newest first."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly

    with ledger(data_dir) as conn:
        rows = conn.execute(
            """
            SELECT i.number, i.account_id, i.period_start, i.period_end, i.currency, i.net, i.tax,
                   i.gross, i.issued_at, coalesce(s.balance, 0), coalesce(s.status, i.kind)
            FROM invoice i
            LEFT JOIN LATERAL (  -- of these invoices only
                SELECT balance, status FROM invoice_status o
                WHERE o.invoice_id = i.invoice_id OFFSET 0
            ) s ON true
            WHERE %(account)s::text IS NULL OR i.account_id = %(account)s
            ORDER BY i.issued_at DESC, i.number DESC
            """,
            {"account": account},
        ).fetchall()
    if json:
        names = (
            *("number", "account", "period_start", "period_end", "currency"),
            *("net", "tax", "gross", "issued_at", "open", "status"),
        )
        document({"invoices": [dict(zip(names, row, strict=True)) for row in rows]})
        return
    table(
        ("number", "account", "from (UTC)", "to (UTC)", "net", "tax", "gross", "open", "",
         "status"),
        [
            (r[0], r[1], f"{r[2]:%Y-%m-%d %H:%M}", f"{r[3]:%Y-%m-%d %H:%M}", *r[5:8], r[9], r[4],
             r[10])
            for r in rows
        ],
    )  # fmt: skip
    if not rows:
        note("nothing is invoiced yet: `rackmeter invoice close`")


def show(number: Number, data_dir: DataDir = None, json: Json = False) -> None:
    """Show an invoice with its lines.

    With --json the sealed document itself, byte for byte.
    """
    from invoicing.digest import text  # noqa: PLC0415 - starts slowly
    from invoicing.export import load  # noqa: PLC0415
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415

    with ledger(data_dir) as conn:
        paper, _ = load(conn, _id(conn, number))
    if json:
        lines([text(paper).decode().rstrip("\n")])
        return
    lines([f"{paper.number}  {paper.buyer.name}  issued {paper.issued_at:%Y-%m-%d}", ""])
    table(
        ("", "title", "quantity", "unit", "price", "net"),
        [
            (str(at), row.line.title, *_figures(row.line), row.line.net)
            for at, row in enumerate(paper.lines, 1)
        ],
    )
    totals = paper.totals
    lines(["", f"net {totals.net}  tax {totals.tax}  gross {totals.gross} {paper.currency}"])
    lines(f"paid with credit {one.credit}: {one.amount}" for one in paper.paid)
    lines([f"to pay {totals.due} {paper.currency}"] if paper.paid else [])
    note(f"explain all of it: rackmeter invoice explain {number}, or one line: {number}/1")


def verify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="JSON, PDF or bundle.")],
    json: Json = False,
) -> None:
    """Recompute invoices from their files alone.

    Digests, lines, taxes, totals, the page of a PDF, the windows of a bundle; without a database.
    """
    from invoicing.verify import verify as check  # noqa: PLC0415 - starts slowly

    found = {str(file): [str(finding) for finding in check(file)] for file in files}
    bad = [file for file, findings in found.items() if findings]
    if json:
        document({"files": [{"file": f, "findings": said} for f, said in found.items()]})
    else:
        for file, findings in found.items():
            lines([f"{file}: {'does not agree' if findings else 'agrees in everything'}"])
            lines(f"  {finding}" for finding in findings)
    if bad and json:
        raise typer.Exit(DifferenceError.exit_code)
    if bad:
        raise DifferenceError(f"{len(bad)} of {len(found)} files were altered.")


def export(
    number: Number,
    to: Annotated[Path, typer.Option(metavar="DIR", help="Where to write.")] = Path(),
    language: Annotated[
        str | None, typer.Option(help="Of the page: en or de; else the account's.")
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Write an invoice as JSON and PDF, which carries it as Factur-X (EN 16931) too.

    The files are named by its number; the bytes are the same every time.
    """
    from invoicing.export import export as write  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415

    with ledger(data_dir) as conn:
        files = [str(file) for file in write(conn, _id(conn, number), to, language)]
    if json:
        document({"number": number, "files": files})
    else:
        lines(files)


def _id(conn: "Connection", number: str) -> str:
    row = conn.execute(
        "SELECT invoice_id::text FROM invoice WHERE number = %s", (number,)
    ).fetchone()
    if row is None:
        raise RefusedError(f"There is no invoice {number}: see `rackmeter invoice list`.")
    return str(row[0])


def _figures(line: Any) -> tuple[object, str, object]:
    return line.quantity, line.unit, line.unit_price
