"""`rackmeter account`: customers."""

from typing import Annotated

import typer

from rackmeter.cli import account_billed, account_budget, account_erase, account_tax
from rackmeter.cli.options import DataDir, Json, example, identifier
from rackmeter.cli.output import document, lines, note, table

Text = str | None


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    account = typer.Typer(
        help="Customers: add, webhook, mail, tax, billed, budget, erase, list.",
        no_args_is_help=True,
    )
    account.command(
        "add",
        epilog=example(
            'account add alpha --name "Alpha GmbH" --country DE --address "Weg 1" '
            '--address "10115 Berlin"'
        ),
    )(add_account)
    account.command(
        "webhook",
        epilog=example(
            "account webhook alpha --url https://alpha.example/hooks --secret whsec_...",
            "account webhook alpha   # no webhook any more",
        ),
    )(set_account_webhook)
    account.command(
        "mail",
        epilog=example(
            "account mail alpha --to billing@alpha.example --to ops@alpha.example --language de",
            "account mail alpha   # no mail any more",
        ),
    )(set_account_mail)
    account_billed.add(account)
    account_budget.add(account)
    account_tax.add(account)
    account_erase.add(account)
    account.command("list", epilog=example("account list --json"))(list_accounts)
    app.add_typer(account, name="account")


def add_account(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Short id, such as alpha.")],
    *,
    name: Annotated[str, typer.Option(help="As it is to stand on invoices.")],
    country: Annotated[str, typer.Option(metavar="CC", help="Two letters, such as DE.")],
    address: Annotated[
        list[str] | None, typer.Option(metavar="LINE", help="One line; repeat it for each.")
    ] = None,
    vat_id: Annotated[str, typer.Option(help="VAT identification number.")] = "",
    currency: Annotated[str, typer.Option(help="ISO 4217.")] = "EUR",
    timezone: Annotated[str, typer.Option(help="Where its months begin.")] = "Europe/Berlin",
    webhook_url: Annotated[Text, typer.Option(help="Where alerts are sent.")] = None,
    webhook_secret: Annotated[Text, typer.Option(help="whsec_…, to sign them.")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Enter a customer. Entering the same one again changes nothing."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from rackmeter.key_files import load_vault  # noqa: PLC0415
    from rackmeter.settings import load_settings  # noqa: PLC0415
    from sinks.timelines import add_account as enter  # noqa: PLC0415
    from sinks.webhooks import set_webhook  # noqa: PLC0415

    identifier("account", account, "acme")
    with ledger(data_dir) as conn, conn.transaction():
        added = enter(
            conn,
            account=account,
            name=name,
            country=country,
            currency=currency,
            timezone=timezone,
            address=tuple(address or ()),
            vat_id=vat_id,
        )
        if added and (webhook_url or webhook_secret):
            settings = load_settings(data_dir=data_dir)
            set_webhook(
                conn, load_vault(settings), account, webhook_url, webhook_secret,
                allow_private=settings.allow_private_webhooks,
            )  # fmt: skip
    if json:
        document({"account": account, "added": added})
    else:
        lines([f"{account} {'added' if added else 'exists already, and is the same'}"])


def set_account_webhook(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="As `account list` shows it.")],
    url: Annotated[Text, typer.Option(help="Where alerts are sent from now on.")] = None,
    secret: Annotated[
        Text, typer.Option(help="whsec_…; two with a space while one replaces the other.")
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Set where a customer's alerts go, or take it away; also after a receiver answered 410."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from rackmeter.key_files import load_vault  # noqa: PLC0415
    from rackmeter.settings import load_settings  # noqa: PLC0415
    from sinks.webhooks import set_webhook  # noqa: PLC0415

    with ledger(data_dir) as conn:
        settings = load_settings(data_dir=data_dir)
        set_webhook(
            conn, load_vault(settings), account, url, secret,
            allow_private=settings.allow_private_webhooks,
        )  # fmt: skip
    if json:
        document({"account": account, "webhook_url": url})
    else:
        lines([f"{account} is told at {url}" if url else f"{account} has no webhook"])


def set_account_mail(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="As `account list` shows it.")],
    to: Annotated[
        list[str] | None, typer.Option(metavar="ADDRESS", help="Whom to write to; repeat it.")
    ] = None,
    language: Annotated[str, typer.Option(help="Of the mails: en or de.")] = "en",
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Set to whom a customer's alerts are mailed from now on, or take it away."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.webhooks import set_mail  # noqa: PLC0415

    with ledger(data_dir) as conn:
        told = set_mail(conn, account, to or [], language)
    if json:
        document({"account": account, "mail_to": told, "language": language})
    else:
        lines([f"{account} is told at {', '.join(told)}" if told else f"{account} gets no mail"])


def list_accounts(data_dir: DataDir = None, json: Json = False) -> None:
    """List the customers."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly

    with ledger(data_dir) as conn:
        rows = conn.execute(
            """
            SELECT account_id, name, country, currency, timezone,
                   (SELECT count(*) FROM item JOIN rating_scope s USING (scope_id)
                    WHERE s.account_id = a.account_id AND upper_inf(valid)),
                   CASE WHEN webhook_url IS NULL THEN 'none'
                        WHEN webhook_disabled_at IS NULL THEN 'on' ELSE 'disabled' END,
                   array_to_string(mail_to, ' '), to_char(billed_from, 'YYYY-MM')
            FROM account a ORDER BY 1
            """
        ).fetchall()
    if json:
        names = (
            "account",
            "name",
            "country",
            "currency",
            "timezone",
            "items",
            "webhook",
            "mail_to",
            "billed_from",
        )
        document({"accounts": [dict(zip(names, row, strict=True)) for row in rows]})
        return
    head = ("account", "name", "country", "currency", "time zone", "items", "webhook", "mail",
            "billed from")  # fmt: skip
    table(head, [(*row[:-1], row[-1] or "") for row in rows])
    if not rows:
        note("no customer is entered yet: `rackmeter account add`")
