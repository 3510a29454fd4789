"""`rackmeter invoice close` and `preview`: from what was used to what it costs."""

import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rackmeter.cli.options import DataDir, DryRun, Json, Yes, confirm, example, instant
from rackmeter.cli.output import document, lines, local_time, note, table
from rackmeter.errors import ConfigError

if TYPE_CHECKING:
    from invoicing.report import CloseReport


PROCESSES = min(2, os.cpu_count() or 1)
"""They share the work; more would not fit into the memory that rackmeter-close.service grants."""


def add(invoice: typer.Typer) -> None:
    """Put the verbs below the noun."""
    invoice.command(
        "close",
        epilog=example(
            "invoice close --month 2026-10 --dry-run",
            "invoice close --month 2026-10 --yes --to invoices",
            "invoice close --as-of now --account aurora --yes",
        ),
    )(close)
    invoice.command("preview", epilog=example("invoice preview web-1"))(preview)


def close(
    *,
    month: Annotated[
        str | None, typer.Option(metavar="YYYY-MM", help="Everything rented in that month.")
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="The last whole month, and rentals that have ended; a day is its midnight UTC.",
        ),
    ] = None,
    account: Annotated[
        list[str] | None, typer.Option(metavar="ACCOUNT", help="Only this; repeat it for more.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write each invoice there, JSON and PDF.")
    ] = None,
    catalog: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION|FILE",
            help="Whose seller issues, at its taxes; else the newest in force, at the period's.",
        ),
    ] = None,
    processes: Annotated[
        int, typer.Option(metavar="N", min=1, help="Batches at a time, 150 MB each.")
    ] = PROCESSES,
    dry_run: DryRun = False,
    yes: Yes = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Reconcile and close periods into invoices. Closing again finds what was closed before.

    What came since for periods closed before is corrected: by a credit note, or by lines on the
    account's next invoice. With --dry-run: what that would be.
    """
    from invoicing.close import DONE, Progress  # noqa: PLC0415 - starts slowly
    from invoicing.close import close as run  # noqa: PLC0415
    from rackmeter.cli.close_metrics import telling  # noqa: PLC0415
    from rackmeter.cli.ledger import database  # noqa: PLC0415
    from rackmeter.cli.prices import catalogue  # noqa: PLC0415
    from rackmeter.settings import load_settings  # noqa: PLC0415
    from sinks.database import connect, require_schema  # noqa: PLC0415
    from sinks.versions import tax_rates  # noqa: PLC0415

    if (month is None) == (as_of is None):
        raise ConfigError("Say which period: --month 2026-10, or --as-of now.")
    settings = load_settings(data_dir=data_dir)
    now = datetime.now(UTC)
    confirm(f"Issue invoices for {month or as_of}? They are final.", yes=yes or dry_run)
    # Only the whole close is told: one of an account would hide what the night has found.
    folder = None if dry_run or account else settings.metrics_dir
    with telling(folder) as tell, database(settings) as url:
        with connect(url) as conn:
            require_schema(conn)
            seller = catalogue(conn, catalog).seller
            rates = () if catalog else tax_rates(conn, seller.entity)

        def step(at: Progress) -> None:
            if at.step == DONE:
                note(f"{at.done} of {at.total}: {at.account}")

        report = run(
            url,
            seller=seller,
            rates=rates,
            issued_at=now,
            grace_ms=settings.grace_ms,
            least=settings.credit_note_min,
            numbers=settings.numbers,
            period_month=month,
            as_of=instant(as_of) if as_of else None,
            accounts=account or None,
            dry_run=dry_run,
            folder=to,
            processes=processes,
            progress=step,
        )
        tell(report)
    _show(report, month or str(as_of), json=json)
    raise typer.Exit(report.exit_code)


def preview(
    scope: Annotated[str, typer.Argument(metavar="SCOPE", help="An item, or a pool of items.")],
    as_of: Annotated[
        str, typer.Option(metavar="TIME", help="As known then; a day is the customer's.")
    ] = "now",
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Price a scope's running month as it stands; nothing is written."""
    from pipeline.periods import month  # noqa: PLC0415 - starts slowly
    from pipeline.rating.price import price  # noqa: PLC0415
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415
    from sinks.queries import usage_inputs  # noqa: PLC0415
    from sinks.scopes import load_scope  # noqa: PLC0415

    with ledger(data_dir) as conn:
        found = load_scope(conn, scope)
        at = instant(as_of, found.timezone)
        period = month(at, found.timezone)
        priced = price(found, usage_inputs(conn, found, period, at), at)
    net = sum(line.net for line in priced)
    if json:
        shown = {"scope": scope, "as_of": at, "currency": found.currency, "net": net}
        document({**shown, "lines": priced})
        return
    table(
        ("title", "quantity", "unit", "price", "net"),
        [(row.title, row.quantity, row.unit, row.unit_price, row.net) for row in priced],
    )
    start, end = (local_time(one, found.timezone) for one in (period.start, at))
    lines(["", f"net {net} {found.currency}, {start} … {end} ({found.timezone})"])


def _show(report: "CloseReport", period: str, *, json: bool) -> None:
    from pipeline.periods import HALF_MONTH  # noqa: PLC0415 - starts slowly

    if json:
        document(close_document(report, period))
        return
    table(
        ("account", "status", "number", "corrects", "lines", "gross", ""),
        [
            (o.account, o.status.value, o.number or "", o.corrects, o.lines, o.gross or "",
             o.currency)
            for o in report.outcomes
        ],
    )  # fmt: skip
    for outcome in report.outcomes:
        for reason in outcome.reasons:
            note(f"{outcome.account}: {reason}")
    for one in report.unbilled:
        note(
            f"{one.account}: {one.scope} of {one.period.start + HALF_MONTH:%Y-%m} comes to"
            f" {one.net:+} {one.currency} since {one.invoice or 'it was sealed'}: {one.goes}"
        )
    if not report.outcomes:
        note("nothing was rented in that time")


def close_document(report: "CloseReport", period: str) -> dict[str, Any]:
    """The report as one document; a second close of the period gives the same invoices."""
    from invoicing.report import Status  # noqa: PLC0415 - starts slowly

    return {
        "period": period,
        "dry_run": report.dry_run,
        "invoices": report.invoices,
        "credit_notes": report.credit_notes,
        "parked": report.having(Status.PARKED, Status.WAITING),
        "total": report.totals(),
        "checked": report.checked,
        "differences": [str(found) for found in report.differences],
        "unbilled": report.unbilled,
        "seconds": round(Decimal(report.seconds), 3),
    }
