"""`rackmeter item show`: one item's timelines, as they are or as they were known."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import typer

from rackmeter.cli.item_order import Id
from rackmeter.cli.options import DataDir, Json, example, instant
from rackmeter.cli.output import document, lines, local_time, table


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
        typer.Option(
            "--known-at",
            metavar="TIME",
            help="As it was known then; else now. A day is the customer's.",
        ),
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show an item's plans, add-ons, servers and intervals in time, and the commands behind them.

    All times are by the customer's clock.
    """
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.zones import of_item  # noqa: PLC0415
    from sinks.item_facts import facts  # noqa: PLC0415

    with ledger(data_dir) as conn:
        timezone = of_item(conn, item)
        found = facts(conn, item, None if known_at is None else instant(known_at, timezone))
    if json:
        document({**found, "timezone": timezone})
        return
    time = partial(_time, timezone=timezone)
    span = f"{time(found['from'])} to {time(found['to'])} ({timezone})"
    lines(
        [
            f"{item}: {found['title']}, rented by {found['account']}",
            f"plan {found['plan']}, scope {found['scope']}, {span}",
        ]
    )
    _part("plan", found["plans"], time, _plan)
    _part("add-on", found["addons"], time, _addon)
    _part("server", found["servers"], time, lambda row: (row["server"],))
    _part("interval", found["intervals"], time, lambda row: (row["kind"], row["reason"]))
    if found["changes"]:
        lines([""])
        table(
            ("command", "what", "at", "entered", "by", "why"),
            [
                (
                    row["command"],
                    _what(row["content"]),
                    time(row["at"]),
                    time(row["entered_at"]),
                    row["by"],
                    row["why"],
                )
                for row in found["changes"]
            ],
        )


def _plan(row: dict[str, Any]) -> tuple[str, ...]:
    return row["plan"], f"({row['title']})", "at", row["version"]


def _addon(row: dict[str, Any]) -> tuple[str, ...]:
    return f"{row['count']} × {row['addon']}", "at", row["version"]


def _what(content: dict[str, Any]) -> str:
    """What a command said beside its item and its time."""
    said = ((name, value) for name, value in content.items() if name not in ("item", "at"))
    return ", ".join(f"{name} {value}" for name, value in said if value is not None)


def _part(
    name: str,
    rows: list[dict[str, Any]],
    time: Callable[[datetime | None], str],
    words: Callable[[dict[str, Any]], tuple[str, ...]],
) -> None:
    if not rows:
        return
    lines([""])
    table(
        (name, "from", "to", "entered"),
        [
            (
                " ".join(filter(None, words(row))),
                time(row["from"]),
                time(row["to"]),
                time(row["entered_at"]),
            )
            for row in rows
        ],
    )


def _time(at: datetime | None, timezone: str) -> str:
    return "open" if at is None else local_time(at, timezone)
