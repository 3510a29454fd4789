"""`rackmeter payment standing` and `terminate`: accounts that are late with their bills."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from rackmeter.cli.acts import myself
from rackmeter.cli.options import DataDir, Json, Yes, confirm, example
from rackmeter.cli.output import document, lines, note, table
from rackmeter.errors import ConfigError


def add(payment: typer.Typer) -> None:
    """Put the verbs below `payment`."""
    payment.command(
        "standing",
        epilog=example("payment standing", "payment standing --state suspended --json",
                       "payment standing --account acme"),
    )(standing)  # fmt: skip
    payment.command("terminate", epilog=example("payment terminate acme --yes"))(terminate)


def standing(
    state: Annotated[
        str | None,
        typer.Option(metavar="STATE", help="current, overdue, restricted, suspended, terminated."),
    ] = None,
    account: Annotated[
        str | None, typer.Option(metavar="ACCOUNT", help="Every change of this one.")
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show accounts that are not current, and what they were told comes next."""
    from invoicing.collecting.dunning import Stand  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415
    from sinks.dunning import changes, standings  # noqa: PLC0415

    if state is not None and state not in list(Stand):
        raise ConfigError(f"--state is {state}; it must be one of {', '.join(Stand)}.")
    with ledger(data_dir) as conn:
        rows = [] if account else standings(conn, state)
        past = changes(conn, account) if account else []
    if json:
        names = ("at", "before", "after", "because", "by")
        known = [dict(zip(names, row, strict=True)) for row in past]
        document({"changes": known} if account else {"accounts": rows})
    elif account:
        table(
            ("at (UTC)", "from", "to", "because", "by"),
            [(f"{at:%Y-%m-%d %H:%M}", *rest) for at, *rest in past],
        )
    else:
        table(
            ("account", "state", "since (UTC)", "announced", "on (UTC)"),
            [
                (r.account, r.state, f"{r.since:%Y-%m-%d %H:%M}", r.noticed or "",
                 f"{r.noticed_at:%Y-%m-%d %H:%M}" if r.noticed_at else "")
                for r in rows
            ],
        )  # fmt: skip
        note("" if rows else "every account is current")


def terminate(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="As `standing` shows it.")],
    *,
    yes: Yes = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Tell provisioning to end what an account has, after it was announced and its time is over.

    Nobody but a person does this. What is deleted, and when, is for whoever provisions to confirm.
    """
    from invoicing.collecting.standing import terminate as end  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415
    from rackmeter.gateways import policy  # noqa: PLC0415
    from rackmeter.settings import load_settings  # noqa: PLC0415

    rules = policy(load_settings(data_dir=data_dir))
    confirm(f"Terminate everything that {account} has?", yes=yes)
    with ledger(data_dir) as conn:
        end(conn, account, rules, myself(), datetime.now(UTC))
    if json:
        document({"account": account, "state": "terminated"})
    else:
        lines([f"{account} is terminated; provisioning is told"])
