"""`rackmeter account billed`: since when a customer is billed here."""

import re
from datetime import date
from typing import Annotated

import typer

from rackmeter.cli.options import DataDir, Json, example
from rackmeter.cli.output import document, lines
from rackmeter.errors import ConfigError


def add(account: typer.Typer) -> None:
    """Put the verb below `account`."""
    account.command(
        "billed",
        epilog=example(
            "account billed acme --from 2026-06",
            "account billed acme   # from the first month on that was closed",
        ),
    )(set_billed)


def set_billed(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="As `account list` shows it.")],
    *,
    since: Annotated[
        str | None, typer.Option("--from", metavar="YYYY-MM", help="Its first month here.")
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Say since when a customer is billed here: no close bills what he rented before.

    If nothing is said, it is the first month that was closed for everybody or for him, and what he
    rented before is billed only by closing that month.
    """
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.billed_from import say_billed_from  # noqa: PLC0415

    if since is not None and not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", since):
        raise ConfigError(f"--from {since} is no month; write it as 2026-06.")
    first = None if since is None else date.fromisoformat(f"{since}-01")
    with ledger(data_dir) as conn:
        changed = say_billed_from(conn, account, first)
    if json:
        document({"account": account, "from": since, "changed": changed})
        return
    what = f"from {since} on" if since else "from the first month on that was closed"
    lines([f"{account} is billed {what}{'' if changed else ' already'}"])
