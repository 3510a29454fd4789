"""`rackmeter payment`: has invoices paid, shows what became of it, sends money back."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rackmeter.cli import payment_method, payment_standing
from rackmeter.cli.acts import myself
from rackmeter.cli.options import DataDir, DryRun, Json, Yes, confirm, example, instant
from rackmeter.cli.output import document, lines, note, table
from rackmeter.cli.payment_desk import desk, money
from rackmeter.cli.payment_desk import till as desk_till
from rackmeter.errors import ConfigError, DependencyError, RefusedError
from sinks.actor import AMBIENT

if TYPE_CHECKING:
    from invoicing.collecting.report import CollectReport
    from sinks.payments import Attempt

Invoice = Annotated[str, typer.Argument(metavar="INVOICE", help="Its number.")]


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    payment = typer.Typer(
        help="Payments: collect, list, show, refund, received, method, standing, terminate.",
        no_args_is_help=True,
    )
    payment.command(
        "collect",
        epilog=example("payment collect --dry-run", "payment collect --yes --json")
        + "\n\n\b\nexit codes: 0 done, 4 a gateway gave no answer: run it again, it asks first",
    )(collect)
    payment.command("list", epilog=example("payment list --account acme --state action"))(
        list_payments
    )
    payment.command("show", epilog=example("payment show RM-DE-2026-000005"))(show)
    payment.command(
        "refund",
        epilog=example('payment refund RM-DE-2026-000005 --amount 19.00 --why "two days down"'),
    )(refund)
    payment.command(
        "received",
        epilog=example("payment received RF45RMDE2026000005A1B2C3 --amount 119.00 --at 2026-04-03"),
    )(received)
    payment_method.add(payment)
    payment_standing.add(payment)
    app.add_typer(payment, name="payment")


def collect(
    *,
    dry_run: DryRun = False,
    yes: Yes = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Charge due invoices by saved methods, finish what is under way, see how accounts stand.

    Safe to repeat and to kill at any moment; several at once share the work. Run it hourly.
    """
    from invoicing.collecting.collect import collect as run  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.ledger import database  # noqa: PLC0415
    from rackmeter.cli.payment_metrics import tell  # noqa: PLC0415
    from rackmeter.gateways import gateways, policy  # noqa: PLC0415
    from rackmeter.settings import load_settings  # noqa: PLC0415

    settings = load_settings(data_dir=data_dir)
    made, rules = gateways(settings), policy(settings)
    confirm("Charge every due invoice?", yes=yes or dry_run)
    with database(settings) as url:
        report = run(url, made, rules, dry_run=dry_run)
    tell(None if dry_run else settings.metrics_dir, report, datetime.now(UTC))
    _report(report, json=json)
    raise typer.Exit(report.exit_code)


def list_payments(
    account: Annotated[str | None, typer.Option(metavar="ACCOUNT", help="Only its.")] = None,
    state: Annotated[
        str | None,
        typer.Option(
            metavar="STATE",
            help="intended, open, processing, action, declined, paid or canceled.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="A page.")] = 50,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show attempts to have invoices paid, newest first."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.payments import STATES, newest  # noqa: PLC0415

    if state is not None and state not in STATES:
        raise ConfigError(f"--state is {state}; it must be one of {', '.join(STATES)}.")
    with ledger(data_dir) as conn:
        found = newest(conn, account, state, limit)
    if json:
        document({"attempts": [_shown(one) for one in found]})
        return
    table(
        ("begun (UTC)", "invoice", "try", "account", "gateway", "amount", "", "state", "why"),
        [
            (f"{a.intended_at.astimezone(UTC):%Y-%m-%d %H:%M}", a.invoice, a.number, a.account,
             a.gateway, a.amount, a.currency, a.state, a.reason)
            for a in found
        ],
    )  # fmt: skip


def show(invoice: Invoice, data_dir: DataDir = None, json: Json = False) -> None:
    """Show how an invoice stands: attempts, refunds, balances that paid it, and what is open."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.journal import entries  # noqa: PLC0415
    from sinks.payment_events import refunds_of  # noqa: PLC0415
    from sinks.payments import attempts_of  # noqa: PLC0415
    from sinks.payments_due import due_of  # noqa: PLC0415

    with ledger(data_dir) as conn:
        due = due_of(conn, invoice)
        if due is None:
            raise RefusedError(f"There is no invoice {invoice}: `rackmeter invoice list`.")
        attempts = attempts_of(conn, due.invoice_id)
        refunds = [row for one in attempts for row in refunds_of(conn, one.attempt)]
        balances = [
            {"at": one.at, "amount": -side.amount, "reference": one.reference}
            for one in entries(conn, kind="apply", invoice=invoice)
            for side in one.postings
            if side.invoice == invoice
        ]
    if json:
        shown = {"attempts": [_shown(one) for one in attempts], "refunds": refunds,
                 "balances": balances}  # fmt: skip
        document({**asdict(due), **shown})
        return
    opened = f"{due.balance} {due.currency} is open, due {due.due_at:%Y-%m-%d}"
    lines([f"{due.number} is {due.status}: {opened}", ""])
    rows = [
        (f"{a.intended_at:%Y-%m-%d %H:%M}", "pay", a.gateway, a.received or a.amount, a.state,
         a.reference or "", a.link or a.reason)
        for a in attempts
    ] + [
        (f"{r.asked_at:%Y-%m-%d %H:%M}", "refund", r.asked_by, -r.amount, r.state,
         r.reference or "", r.reason)
        for r in refunds
    ] + [
        (f"{b['at']:%Y-%m-%d %H:%M}", "apply", "balance", b["amount"], "done", b["reference"], "")
        for b in balances
    ]  # fmt: skip
    table(("begun (UTC)", "", "by", "amount", "state", "reference", ""), sorted(rows))


def refund(
    invoice: Invoice,
    *,
    amount: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="Else all that was paid and is left.")
    ] = None,
    yes: Yes = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Send money back the way it came. The invoice is open again until a credit note says why."""
    from invoicing.collecting.refund import left_of  # noqa: PLC0415 - starts slowly
    from invoicing.collecting.refund import refund as send  # noqa: PLC0415
    from sinks.payments import paid_attempt  # noqa: PLC0415

    if not AMBIENT.reason:
        raise ConfigError('Say why: --why "two days down".')
    with desk(data_dir) as (settings, conn):
        attempt = paid_attempt(conn, invoice)
        wanted = money(amount) if amount else left_of(conn, attempt)
        confirm(f"Send {wanted} {attempt.currency} of {invoice} back?", yes=yes)
        till = desk_till(settings, conn, attempt.gateway)
        try:
            row = send(till, attempt, wanted, AMBIENT.reason, myself())
        except DependencyError as error:
            raise DependencyError(
                f"{error}; the refund is noted, and the next `payment collect` asks what became of"
                " it: do not enter it again."
            ) from error
    if json:
        document(row)
    else:
        lines([f"{row.amount} {attempt.currency} of {invoice}: {row.state}, {row.reference}"])


def received(
    reference: Annotated[str, typer.Argument(metavar="RF...", help="As the bank shows it.")],
    *,
    amount: Annotated[str, typer.Option(metavar="AMOUNT", help="What came.")],
    at: Annotated[
        str, typer.Option(metavar="TIME", help="When it was booked; a day is the customer's.")
    ] = "now",
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Enter a bank transfer that `payment collect` expects; one of another amount counts as is."""
    from invoicing.collecting.transfer import transfer_arrived  # noqa: PLC0415
    from invoicing.gateways.transfer_gateway import is_creditor_reference  # noqa: PLC0415
    from rackmeter.cli.zones import of_account  # noqa: PLC0415
    from sinks.bank_transfers import by_reference  # noqa: PLC0415

    plain = "".join(reference.split()).upper()
    if not is_creditor_reference(plain):
        raise ConfigError(f"{reference} is no creditor reference: a digit is mistyped.")
    with desk(data_dir) as (settings, conn):
        till = desk_till(settings, conn, "transfer")
        when = instant(at, of_account(conn, by_reference(conn, plain).account))
        attempt = transfer_arrived(till, plain, money(amount), when)
    if json:
        document(_shown(attempt))
    else:
        lines([f"{attempt.invoice}: {attempt.received} {attempt.currency} {attempt.state}"])


def _shown(attempt: "Attempt") -> dict[str, Any]:
    """Without what only gateways need."""
    hidden = ("customer", "token", "invoice_id")
    return {name: value for name, value in asdict(attempt).items() if name not in hidden}


def _report(report: "CollectReport", *, json: bool) -> None:
    if json:
        document({"at": datetime.now(UTC), **asdict(report)})
        return
    for one in report.applied:
        move = one.move
        lines([f"{one.account}: {move.amount} {move.currency} of {move.source} pay {move.target}"])
    table(
        ("invoice", "account", "amount", "", "state", ""),
        [(c.invoice, c.account, c.amount, c.currency, c.state, c.why) for c in report.collected],
    )
    for moved in report.moved:
        lines([f"{moved.account}: {moved.what} ({moved.because})"])
    for sentence in report.unknown:
        note(sentence)
    if not (report.applied or report.collected or report.moved):
        note("nothing to collect")
