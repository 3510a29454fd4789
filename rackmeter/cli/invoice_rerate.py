"""`rackmeter invoice rerate`: what closed months come to by now, beside what was billed."""

from typing import TYPE_CHECKING, Annotated

import typer

from rackmeter.cli.options import DataDir, Json, example
from rackmeter.cli.output import document, lines, note, table

if TYPE_CHECKING:
    from invoicing.rerate import Rerating


def add(invoice: typer.Typer) -> None:
    """Put the verb below the noun."""
    invoice.command(
        "rerate",
        epilog=example(
            "invoice rerate --period 2026-10 --dry-run",
            "invoice rerate --period 2026-10 --account aurora --dry-run --json",
        ),
    )(rerate)


def rerate(
    period: Annotated[str, typer.Option(metavar="YYYY-MM", help="A month that was closed.")],
    account: Annotated[
        list[str] | None, typer.Option(metavar="ACCOUNT", help="Only this; repeat it for more.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="It never does more than this.")
    ] = True,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Price a closed month again with everything known now, and show what differs and why.

    Nothing is written, and nothing sealed ever changes: what came since is billed by the next
    `invoice close`. Exit code 0 whether something differs or not.
    """
    from invoicing.rerate import rerate as run  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415

    with ledger(data_dir) as conn:
        found = run(conn, period, account)
    if json:
        document({"period": period, "dry_run": dry_run, **_document(found)})
        return
    table(
        ("account", "invoice", "line", "billed", "now", "difference", "", "why"),
        [
            (one.account, one.invoice, one.title, one.billed, one.now, f"{one.difference:+}",
             one.currency, ", ".join(one.why))
            for one in found.lines
        ],
    )  # fmt: skip
    lines(["", f"{found.periods} sealed periods priced again, {len(found.lines)} lines differ"])
    for reason in (*found.refused, *found.taxed):
        note(str(reason))


def _document(found: "Rerating") -> dict[str, object]:
    return {"periods": found.periods, "lines": found.lines, "refused": found.refused,
            "taxed": found.taxed}  # fmt: skip
