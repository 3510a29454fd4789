"""`rackmeter account budget`: what a customer, or one item, may come to in a month."""

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from rackmeter.cli.acts import myself
from rackmeter.cli.options import DataDir, Json, duration_ms, example
from rackmeter.cli.output import document, lines, note, table
from rackmeter.errors import ConfigError

if TYPE_CHECKING:
    from sinks.budgets import Entry

_AMOUNT: Final = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)(?: ([^\s]+))?")
_PERCENT: Final = range(1, 1001)
By = Annotated[str | None, typer.Option(help="Who wants it; else who is logged in here.")]


def add(account: typer.Typer) -> None:
    """Put the noun below `account`."""
    budget = typer.Typer(help="Budgets: set, list, drop.", no_args_is_help=True)
    budget.command(
        "set",
        epilog=example(
            'account budget set acme --limit "500.00 EUR" --at 80 --at 100 --forecast 24h',
            'account budget set acme --item web-1 --charge traffic --limit "20 TB"',
            'account budget set acme --limit "800.00 EUR" --action cap',
        ),
    )(set_budget)
    budget.command("list", epilog=example("account budget list acme --all --json"))(list_budgets)
    budget.command("drop", epilog=example("account budget drop 7"))(drop_budget)
    account.add_typer(budget, name="budget")


def set_budget(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="As `account list` shows it.")],
    *,
    limit: Annotated[str, typer.Option(metavar="AMOUNT", help='"500.00 EUR" or "20 TB".')],
    item: Annotated[str | None, typer.Option(help="Of this item alone.")] = None,
    charge: Annotated[str | None, typer.Option(help="Its quantity instead of money.")] = None,
    at: Annotated[
        list[int] | None, typer.Option(metavar="PERCENT", help="When to tell; repeat it.")
    ] = None,
    forecast: Annotated[
        str | None, typer.Option(metavar="TIME", help="Also when reached this soon: 6h, 2d.")
    ] = None,
    action: Annotated[str, typer.Option(help="notify, or cap: suspend at 100 %.")] = "notify",
    by: By = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Set a month's limit, of net money or of a charge's quantity; replaces the one before.

    The customer is told at each percentage. A cap also commands your provisioning to suspend, and
    to resume when it is raised, dropped, corrected, or a new month begins.
    """
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.budgets import set_budget as enter  # noqa: PLC0415

    terms = _terms(account, item or "", charge or "", limit, at, forecast, action)
    with ledger(data_dir) as conn:
        entry, new = enter(conn, terms, by or myself(), datetime.now(UTC))
    if json:
        document({**_plain(entry), "set": new})
    else:
        lines([f"{_said(entry)}{'' if new else ' is set already'}"])


def list_budgets(
    account: Annotated[str | None, typer.Argument(metavar="ACCOUNT", help="Only theirs.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that ended, too.")] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """List the budgets in force, with who set them."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.budgets import history, in_force  # noqa: PLC0415

    with ledger(data_dir) as conn:
        found = (history if everything else in_force)(conn, account)
    if json:
        document({"budgets": [_plain(entry) for entry in found]})
        return
    table(
        ("budget", "account", "item", "of", "limit", "told at", "forecast", "action", "set by",
         "set at (UTC)", "ended by"),
        [
            (b.budget, b.account, b.item, b.charge or "money", f"{b.most} {b.unit}",
             " ".join(f"{p}%" for p in b.percents), b.ahead or "", b.action.value, entry.set_by,
             f"{entry.set_at.astimezone(UTC):%Y-%m-%d %H:%M}", entry.ended_by or "")
            for entry in found
            for b in (entry.budget,)
        ],
    )  # fmt: skip
    if not found:
        note("no budget is set: `rackmeter account budget set`")


def drop_budget(
    budget: Annotated[int, typer.Argument(metavar="BUDGET", help="As `budget list` shows it.")],
    by: By = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """End a budget; what its cap had suspended is resumed by a worker within seconds."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.budgets import drop_budget as end  # noqa: PLC0415

    with ledger(data_dir) as conn:
        entry = end(conn, budget, by or myself(), datetime.now(UTC))
    if json:
        document({"budget": budget, "account": entry.budget.account, "ended": True})
    else:
        lines([f"{_said(entry)} has ended"])


def _terms(
    account: str,
    item: str,
    charge: str,
    limit: str,
    at: list[int] | None,
    forecast: str | None,
    action: str,
) -> Any:
    from pipeline.budgets import Action  # noqa: PLC0415 - starts slowly
    from sinks.budgets import Terms  # noqa: PLC0415

    found = _AMOUNT.fullmatch(limit)
    if found is None or not Decimal(found[1]):
        raise ConfigError(f'--limit is {limit}; write an amount, as "500.00 EUR" or "20 TB".')
    if charge and not item:
        raise ConfigError("--charge needs --item: a quantity is one item's.")
    if action not in list(Action):
        raise ConfigError(f"--action is {action}; it must be notify or cap.")
    percents = tuple(sorted(set(at or [100])))
    if any(percent not in _PERCENT for percent in percents):
        raise ConfigError(f"--at is a percentage from {_PERCENT[0]} to {_PERCENT[-1]}.")
    if action == Action.CAP and 100 not in percents:
        raise ConfigError("A cap takes hold at 100 %: name --at 100 too.")
    ahead = None if forecast is None else duration_ms("--forecast", forecast, days_max=31)
    if ahead == 0:
        raise ConfigError(f"--forecast is {forecast}; write 6h or 2d, or leave it out for none.")
    return Terms(
        account, item, charge, Decimal(found[1]), found[2] or "", percents,
        None if ahead is None else timedelta(milliseconds=ahead), Action(action),
    )  # fmt: skip


def _plain(entry: "Entry") -> dict[str, Any]:
    budget = asdict(entry.budget)
    ahead = budget.pop("ahead")
    audit = ("set_at", "set_by", "ended_at", "ended_by")
    return {
        **budget,
        "forecast_s": None if ahead is None else int(ahead.total_seconds()),
        **{name: getattr(entry, name) for name in audit},
    }


def _said(entry: "Entry") -> str:
    b = entry.budget
    thing = f"{b.item or b.account}{f' ({b.charge})' if b.charge else ''}"
    return f"budget {b.budget}: {thing}, {b.most} {b.unit} a month, {b.action.value}"
