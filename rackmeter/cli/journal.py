"""`rackmeter journal`: the books, and money that a person enters into them."""

from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rackmeter.cli.acts import myself
from rackmeter.cli.amounts import amount as money
from rackmeter.cli.options import DataDir, Json, Yes, confirm, example, instant
from rackmeter.cli.output import document, lines, note, table
from rackmeter.errors import ConfigError, DifferenceError

if TYPE_CHECKING:
    from sinks.journal import Entry

Number = Annotated[str, typer.Argument(metavar="NUMBER", help="Of an invoice.")]
At = Annotated[
    str | None, typer.Option(metavar="TIME", help="When; else now. A day is the customer's.")
]


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    journal = typer.Typer(
        help="The books: trial-balance, aged, show, receive, write-off.", no_args_is_help=True
    )
    journal.command(
        "trial-balance", epilog=example("journal trial-balance", "journal trial-balance --json")
    )(trial_balance)
    journal.command("aged", epilog=example("journal aged", "journal aged --at 2026-12-31 --json"))(
        aged
    )
    journal.command(
        "show", epilog=example("journal show RM-DE-2026-000001", "journal show --account acme")
    )(show)
    journal.command(
        "receive",
        epilog=example(
            'journal receive RM-DE-2026-000001 --amount 119.00 --reference "statement 17/4"'
        ),
    )(receive)
    journal.command(
        "write-off", epilog=example('journal write-off RM-DE-2026-000001 --why "insolvent"')
    )(write_off)
    app.add_typer(journal, name="journal")


def trial_balance(data_dir: DataDir = None, json: Json = False) -> None:
    """Show what each ledger comes to, debits positive; each currency sums to zero (else code 3)."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.journal import trial_balance as read  # noqa: PLC0415

    with ledger(data_dir) as conn:
        found = read(conn)
    sums: dict[str, Any] = {}
    for one in found:
        sums[one.currency] = sums.get(one.currency, 0) + one.amount
    if json:
        document({"ledgers": [asdict(one) for one in found], "sums": sums})
    else:
        table(("ledger", "balance", ""), [(one.ledger, one.amount, one.currency) for one in found])
        if not found:
            note("nothing is booked yet: `rackmeter invoice close`")
    if crooked := [currency for currency, rest in sums.items() if rest]:
        raise DifferenceError(f"The books do not sum to zero in {', '.join(crooked)}.")


def aged(
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When; else now. A day is UTC's, or --account's."),
    ] = None,
    account: Annotated[str | None, typer.Option(metavar="ACCOUNT", help="Only its own.")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show what customers owe, by days since it was due; below zero it is owed to them."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.zones import of_account  # noqa: PLC0415
    from sinks.receipts import aged as read  # noqa: PLC0415

    with ledger(data_dir) as conn:
        found = read(conn, instant(at, of_account(conn, account) if account else "UTC"), account)
    if json:
        document({"accounts": [asdict(one) for one in found]})
        return
    table(
        ("account", "not due", "1–30 days", "31–60", "61–90", "older", "no invoice", "total", ""),
        [
            (a.account, a.not_due, a.days_30, a.days_60, a.days_90, a.older, a.unassigned, a.total,
             a.currency)
            for a in found
        ],
    )  # fmt: skip
    if not found:
        note("nobody owes anything")


def show(
    number: Annotated[str | None, typer.Argument(metavar="[NUMBER]", help="An invoice.")] = None,
    account: Annotated[str | None, typer.Option(metavar="ACCOUNT", help="All of its own.")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show the entries of an invoice, with how it stands, or of an account."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.journal import entries  # noqa: PLC0415
    from sinks.receipts import standing  # noqa: PLC0415

    if (number is None) == (account is None):
        raise ConfigError("Name either an invoice or --account.")
    with ledger(data_dir) as conn:
        stands = None if number is None else standing(conn, number)
        found = entries(conn, invoice=number, account=account)
    if json:
        document({"invoice": stands and asdict(stands), "entries": [_plain(one) for one in found]})
        return
    table(
        ("at (UTC)", "entry", "reference", "ledger", "month", "invoice", "amount", ""),
        [row for one in found for row in _rows(one)],
    )
    if stands is not None:
        lines(["", f"{stands.number} is {stands.status}: {stands.balance} {stands.currency} open"])


def _plain(entry: "Entry") -> dict[str, Any]:
    sides = [{**asdict(one), "month": _month(one.month)} for one in entry.postings]
    return {**asdict(entry), "postings": sides}


def _month(first: date | None) -> str:
    return "" if first is None else f"{first:%Y-%m}"


def _rows(entry: "Entry") -> list[tuple[object, ...]]:
    head = (f"{entry.at:%Y-%m-%d %H:%M}", entry.kind, entry.reference)
    return [
        (*(head if not at else ("", "", "")), one.ledger, _month(one.month),
         one.invoice, one.amount, entry.currency)
        for at, one in enumerate(entry.postings)
    ]  # fmt: skip


def receive(
    number: Number,
    *,
    amount: Annotated[str, typer.Option(metavar="AMOUNT", help="In the invoice's currency.")],
    reference: Annotated[str, typer.Option(help="Of the bank's statement: enters it once.")],
    at: At = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Enter a bank transfer for an invoice. The same reference again changes nothing."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.zones import of_account  # noqa: PLC0415
    from sinks.receipts import receive as enter  # noqa: PLC0415
    from sinks.receipts import standing  # noqa: PLC0415

    paid = money("--amount", amount)
    with ledger(data_dir) as conn:
        of = standing(conn, number)
        when = instant(at, of_account(conn, of.account))
        new = enter(conn, reference, when, paid, of, myself())
        now = standing(conn, number)
    if json:
        document({**asdict(now), "entered": new})
    else:
        said = "entered" if new else "is in the books already"
        lines([f"{reference} {said}; {number} is {now.status}, {now.balance} {now.currency} open"])


def write_off(
    number: Number,
    *,
    amount: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="Less than all that is open.")
    ] = None,
    at: At = None,
    yes: Yes = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Book what nobody will pay any more of an invoice as a loss; tax is corrected elsewhere."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.zones import of_account  # noqa: PLC0415
    from sinks.receipts import standing  # noqa: PLC0415
    from sinks.receipts import write_off as enter  # noqa: PLC0415

    with ledger(data_dir) as conn:
        open_ = standing(conn, number)
        lost = open_.balance if amount is None else money("--amount", amount)
        confirm(f"Write off {lost} {open_.currency} of {number}?", yes=yes)
        enter(conn, instant(at, of_account(conn, open_.account)), lost, number, myself())
        now = standing(conn, number)
    if json:
        document({**asdict(now), "written_off": lost})
    else:
        lines([f"{number} is {now.status}: {lost} {now.currency} written off"])
