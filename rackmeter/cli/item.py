"""`rackmeter item`: what customers rent, from when to when."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from rackmeter.cli.options import DataDir, Json, example, instant
from rackmeter.cli.output import document, lines, note, table

Id = Annotated[str, typer.Argument(metavar="ITEM", help="Id of the rented slot.")]
At = Annotated[str, typer.Option("--at", metavar="TIME", help="When it is true; now if not given.")]


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    item = typer.Typer(help="What customers rent: rent, end, list.", no_args_is_help=True)
    item.command(
        "rent",
        epilog=example(
            "item rent web-1 --account alpha --plan ax-hourly --server ax-017 "
            "--catalog prices/2026-03.toml"
        ),
    )(rent_item)
    item.command("end", epilog=example("item end web-1 --at 2026-10-31T12:00:00+01:00"))(end_item)
    item.command("list", epilog=example("item list --account alpha"))(list_items)
    app.add_typer(item, name="item")


def rent_item(
    item: Id,
    *,
    account: Annotated[str, typer.Option(metavar="ACCOUNT", help="Who rents it.")],
    plan: Annotated[str, typer.Option(metavar="PLAN", help="A plan of the catalogue.")],
    server: Annotated[str, typer.Option(metavar="SERVER", help="Which hardware serves it.")],
    catalog: Annotated[
        str | None,
        typer.Option(metavar="VERSION|FILE", help="Prices; the newest published if not given."),
    ] = None,
    title: Annotated[str | None, typer.Option(help="As it is to stand on invoices.")] = None,
    scope: Annotated[
        str | None, typer.Option(metavar="SCOPE", help="Pool it is priced in; its own by default.")
    ] = None,
    at: At = "now",
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Rent a slot to a customer, served by a server, at the prices of a catalogue."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.prices import catalogue  # noqa: PLC0415
    from sinks.timelines import rent  # noqa: PLC0415

    begins = instant(at)
    with ledger(data_dir) as conn:
        prices = catalogue(conn, catalog)
        changed = rent(
            conn,
            item=item,
            title=title or f"{prices.plans[plan].name if plan in prices.plans else plan}",
            plan=plan,
            account=account,
            server=server,
            at=begins,
            catalog=prices,
            entered_at=datetime.now(UTC),
            scope=scope,
        )
    _said(json, {"item": item, "rented": changed, "at": begins}, changed, "rented")


def end_item(item: Id, at: At = "now", data_dir: DataDir = None, json: Json = False) -> None:
    """End a rental; its last invoice can be closed after that."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.timelines import end  # noqa: PLC0415

    ends = instant(at)
    with ledger(data_dir) as conn:
        changed = end(conn, item, ends)
    _said(json, {"item": item, "ended": changed, "at": ends}, changed, "ended")


def list_items(
    account: Annotated[str | None, typer.Option(metavar="ACCOUNT", help="Only its items.")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """List items with their plan, server and time."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly

    with ledger(data_dir) as conn:
        rows = conn.execute(
            """
            SELECT i.item_id, s.account_id, i.plan, i.title, lower(i.valid), upper(i.valid),
                   (SELECT string_agg(server_id, ', ' ORDER BY lower(valid))
                    FROM assignment WHERE item_id = i.item_id)
            FROM item i JOIN rating_scope s USING (scope_id)
            WHERE %(account)s::text IS NULL OR s.account_id = %(account)s ORDER BY 2, 1
            """,
            {"account": account},
        ).fetchall()
    if json:
        names = ("item", "account", "plan", "title", "from", "to", "servers")
        document({"items": [dict(zip(names, row, strict=True)) for row in rows]})
        return
    table(
        ("item", "account", "plan", "from (UTC)", "to (UTC)", "server"),
        [(r[0], r[1], r[2], _day(r[4]), _day(r[5]), r[6] or "") for r in rows],
    )
    if not rows:
        note("nothing is rented yet: `rackmeter item rent`")


def _said(json: bool, shown: dict[str, object], changed: bool, verb: str) -> None:
    if json:
        document(shown)
    else:
        word = verb if changed else f"was {verb} so already"
        lines([f"{shown['item']} {word} at {shown['at']}"])


def _day(at: datetime | None) -> str:
    return "open" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"
