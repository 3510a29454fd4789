"""`rackmeter account erase`: a customer who is gone is forgotten, but for what the law keeps."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from rackmeter.cli.options import DataDir, DryRun, Json, Yes, confirm, example
from rackmeter.cli.output import document, lines, note
from rackmeter.errors import ConfigError


def add(account: typer.Typer) -> None:
    """Put the verb below `account`."""
    account.command(
        "erase",
        epilog=example(
            'account erase acme --why "asked for by letter of 3 November" --dry-run',
            'account erase acme --why "asked for by letter of 3 November" --yes',
        ),
    )(erase_account)


def erase_account(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="As `account list` shows it.")],
    why: Annotated[str, typer.Option(metavar="TEXT", help="The reason; write no name in it.")],
    dry_run: DryRun = False,
    yes: Yes = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Erase names, addresses, alerts and what the audit trail says of a customer who is gone.

    Invoices stay as they were issued: the law wants them kept. The audit trail still verifies.
    Backups and exports that were made before have it all until they are removed.
    """
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.erase import erase  # noqa: PLC0415

    if not why.strip():
        raise ConfigError("--why is empty: say in a few words who asked for it.")
    confirm(f"Erase {account} for good?", yes=yes or dry_run)
    with ledger(data_dir) as conn, conn.transaction(force_rollback=dry_run):
        done = erase(conn, account, why, datetime.now(UTC))
    if json:
        document({"account": account, "dry_run": dry_run, "fields": bool(done.account),
                  "alerts": done.alerts, "acts": done.acts})  # fmt: skip
        return
    what = "name, address and channels" if done.account else "nothing in the account"
    word = "would go" if dry_run else "gone"
    lines([f"{account}: {what}, {done.alerts} alerts, {done.acts} acts' details {word}"])
    if not dry_run:
        note("backups and exports that were made before still have it")
