"""`rackmeter item show`: one item's timelines, as they are or as they were known."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from rackmeter.cli.item_order import Id
from rackmeter.cli.options import DataDir, Json, example, instant
from rackmeter.cli.output import document, lines, table


def add(item: typer.Typer) -> None:
    """Put the verb below the noun."""
    item.command(
        "show",
        epilog=example("item show web-1", "item show web-1 --known-at 2026-11-02T06:00Z --json"),
    )(show_item)


def show_item(
    item: Id,
    known_at: Annotated[
        str | None,
        typer.Option("--known-at", metavar="TIME", help="As it was known then; now if not given."),
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show an item's servers, prices and intervals in time, and the commands that made them so."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.item_facts import facts  # noqa: PLC0415

    with ledger(data_dir) as conn:
        found = facts(conn, item, None if known_at is None else instant(known_at))
    if json:
        document(found)
        return
    span = f"{_time(found['from'])} to {_time(found['to'])}"
    lines(
        [
            f"{item}: {found['title']}, rented by {found['account']}",
            f"plan {found['plan']}, scope {found['scope']}, {span}",
        ]
    )
    _part("server", found["servers"], lambda row: (row["server"],))
    _part("price", found["prices"], lambda row: (row["charge"], row["plan"], row["version"]))
    _part("interval", found["intervals"], lambda row: (row["kind"], row["reason"]))
    if found["changes"]:
        lines([""])
        table(
            ("command", "at (UTC)", "entered (UTC)", "by", "why"),
            [
                (row["command"], _time(row["at"]), _time(row["entered_at"]), row["by"], row["why"])
                for row in found["changes"]
            ],
        )


def _part(
    name: str, rows: list[dict[str, Any]], words: Callable[[dict[str, Any]], tuple[str, ...]]
) -> None:
    if not rows:
        return
    lines([""])
    table(
        (name, "from (UTC)", "to (UTC)", "entered (UTC)"),
        [
            (" ".join(words(row)), _time(row["from"]), _time(row["to"]), _time(row["entered_at"]))
            for row in rows
        ],
    )


def _time(at: datetime | None) -> str:
    return "open" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"
