"""`rackmeter payment method`: how accounts pay. Card data stays on Stripe's page."""

from typing import Annotated, Final

import typer

from rackmeter.cli.options import DataDir, Json, example
from rackmeter.cli.output import document, lines, note, table
from rackmeter.cli.payment_desk import desk, till
from rackmeter.errors import ConfigError

Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="As `account list` shows it.")]


_WAYS: Final = {
    "stripe": "a card or mandate",
    "stripe-invoice": "a page of Stripe's",
    "transfer": "bank transfer",
}


def add(payment: typer.Typer) -> None:
    """Put the noun below `payment`."""
    method = typer.Typer(help="Saved ways to pay: add, list.", no_args_is_help=True)
    method.command(
        "add",
        epilog=example("payment method add acme", "payment method add acme --gateway transfer"),
    )(add_method)
    method.command("list", epilog=example("payment method list acme --json"))(list_methods)
    payment.add_typer(method, name="method")


def add_method(
    account: Account,
    *,
    gateway: Annotated[
        str, typer.Option(metavar="NAME", help="stripe, stripe-invoice, transfer.")
    ] = "stripe",
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Print the link where the customer saves a card or a debit mandate; or expect transfers, or
    have Stripe host a page for each invoice (stripe-invoice).

    The method that was saved last is the one that is charged.
    """
    from invoicing.collecting.method import begin_method  # noqa: PLC0415 - starts slowly

    if gateway not in _WAYS:
        raise ConfigError(f"--gateway is {gateway}; it must be one of {', '.join(_WAYS)}.")
    with desk(data_dir) as (settings, conn):
        link = begin_method(till(settings, conn, gateway), account)
    if json:
        document({"account": account, "gateway": gateway, "link": link or None})
    else:
        lines([link or f"{account} pays by {_WAYS[gateway]} from now on"])


def list_methods(account: Account, data_dir: DataDir = None, json: Json = False) -> None:
    """Show what an account has saved, the newest first; it is the first one in force."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.payment_methods import methods_of  # noqa: PLC0415

    with ledger(data_dir) as conn:
        found = methods_of(conn, account)
    if json:
        document({"methods": found})
        return
    table(
        ("gateway", "kind", "method", "added (UTC)", "removed (UTC)"),
        [
            (m.gateway, m.kind, m.label, f"{m.added_at:%Y-%m-%d %H:%M}",
             f"{m.removed_at:%Y-%m-%d %H:%M}" if m.removed_at else "")
            for m in found
        ],
    )  # fmt: skip
    note("" if found else f"`rackmeter payment method add {account}` makes a link to save one")
