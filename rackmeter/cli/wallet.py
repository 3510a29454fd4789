"""`rackmeter wallet`: what customers were given or have paid ahead."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rackmeter.cli.acts import myself
from rackmeter.cli.amounts import amount as money
from rackmeter.cli.options import DataDir, Json, example, instant
from rackmeter.cli.output import document, lines, local_time, note, table
from rackmeter.errors import ConfigError

if TYPE_CHECKING:
    from sinks.wallet import Held

Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="As `account list` shows it.")]


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    wallet = typer.Typer(
        help="Customers' credit: grant, show, expire, alert.", no_args_is_help=True
    )
    wallet.command(
        "grant",
        epilog=example(
            "wallet grant acme welcome-2026 --amount 50.00 --kind promotional --expires 2026-12-31",
            "wallet grant acme prepaid-17 --amount 200.00 --kind paid",
        ),
    )(grant)
    wallet.command("show", epilog=example("wallet show acme", "wallet show acme --json"))(show)
    wallet.command("expire", epilog=example("wallet expire", "wallet expire --account acme"))(
        expire
    )
    wallet.command(
        "alert", epilog=example("wallet alert acme --below 50.00", "wallet alert acme   # none")
    )(alert)
    app.add_typer(wallet, name="wallet")


def grant(
    account: Account,
    credit: Annotated[str, typer.Argument(metavar="NAME", help="Names it, for ever.")],
    *,
    amount: Annotated[str, typer.Option(metavar="AMOUNT", help="In the account's currency.")],
    kind: Annotated[str, typer.Option(help="promotional (before tax) or paid (after it).")],
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="From when on; else now. A day is the customer's."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="No invoice draws it from then on; as --at.")
    ] = None,
    priority: Annotated[int, typer.Option(help="Lowest first.")] = 0,
    into: Annotated[
        str, typer.Option(metavar="LEDGER", help="Where paid credit lies: bank, clearing:stripe.")
    ] = "bank",
    reason: Annotated[str, typer.Option(help="Kept with it.")] = "",
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Give a customer credit that the next invoices draw. The same one again changes nothing.

    Promotional credit lowers the tax base; paid credit is a means of payment, and in the books.
    """
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.zones import of_account  # noqa: PLC0415
    from schemas.terms import CreditKind  # noqa: PLC0415
    from sinks.wallet import Grant  # noqa: PLC0415
    from sinks.wallet import grant as enter  # noqa: PLC0415

    if kind not in list(CreditKind):
        raise ConfigError(f"--kind is {kind}; it must be promotional or paid.")
    worth = money("--amount", amount)
    with ledger(data_dir) as conn:
        timezone = of_account(conn, account)
        wanted = Grant(
            account, credit, CreditKind(kind), worth, instant(at, timezone),
            None if expires is None else instant(expires, timezone), priority, reason,
        )  # fmt: skip
        new = enter(conn, wanted, myself(), datetime.now(UTC), into)
    if json:
        document({"account": account, "credit": credit, "granted": new})
    else:
        said = "is granted" if new else "is there already"
        ends = f", until {local_time(wanted.expires_at, timezone)}" if wanted.expires_at else ""
        lines([f"{credit}: {kind} {wanted.amount} of {account} {said}{ends}"])


def show(account: Account, data_dir: DataDir = None, json: Json = False) -> None:
    """Show a customer's credits: what is left, and which invoices drew what."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.zones import of_account  # noqa: PLC0415
    from sinks.wallet import history  # noqa: PLC0415

    with ledger(data_dir) as conn:
        timezone, found = of_account(conn, account), history(conn, account=account)
    if json:
        document({"account": account, "credits": [_plain(held) for held in found]})
        return
    table(
        ("credit", "kind", "granted", "expires", "priority", "amount", "left", "",
         "drawn by"),
        [
            (
                held.grant.credit, held.grant.kind.value,
                local_time(held.grant.granted_at, timezone),
                local_time(held.grant.expires_at, timezone) if held.grant.expires_at else "",
                held.grant.priority, held.grant.amount, held.left, held.currency,
                ", ".join(f"{reference} {drawn}" for reference, drawn, _ in held.draws),
            )
            for held in found
        ],
    )  # fmt: skip
    if not found:
        note(f"{account} has no credit: `rackmeter wallet grant`")


def expire(
    account: Annotated[str | None, typer.Option(metavar="ACCOUNT", help="Only theirs.")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Book what is left of credits that have expired: of paid ones it becomes revenue.

    Invoices draw nothing of expired credit, whether this has run or not; a timer may run it daily.
    """
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.wallet import expire as end  # noqa: PLC0415

    with ledger(data_dir) as conn:
        found = end(conn, datetime.now(UTC), myself(), account)
    if json:
        document({"expired": [{"credit": h.grant.credit, "amount": h.left} for h in found]})
        return
    lines(f"{h.grant.credit} of {h.grant.account}: {h.left} {h.currency} expired" for h in found)
    if not found:
        note("nothing has expired")


def alert(
    account: Account,
    below: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="Tell when it is lower; else never.")
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Tell a customer when what is paid ahead, less what has come up since, is below an amount.

    A worker looks every minute; what has come up is net of tax. Told once at each crossing.
    """
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.wallet_watch import set_threshold  # noqa: PLC0415

    least = None if below is None else money("--below", below)
    with ledger(data_dir) as conn:
        set_threshold(conn, account, least, myself(), datetime.now(UTC))
    if json:
        document({"account": account, "below": least})
    else:
        lines([f"{account} is told " + ("nothing" if least is None else f"below {least}")])


def _plain(held: "Held") -> dict[str, Any]:
    credit = held.grant
    return {
        "credit": credit.credit, "kind": credit.kind.value, "amount": credit.amount,
        "left": held.left, "currency": held.currency, "granted_at": credit.granted_at,
        "expires_at": credit.expires_at, "priority": credit.priority, "reason": credit.reason,
        "draws": [
            {"by": reference, "amount": drawn, "at": at} for reference, drawn, at in held.draws
        ],
    }  # fmt: skip
